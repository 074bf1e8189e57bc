"""Python's ftplib doing an errand: cd, upload, list, download. Stands alone; exits non-zero on failure."""

import argparse
import ftplib
import socket
import sys
import time
from pathlib import Path


class Announcing(ftplib.FTP):
    """FTP that announces as it is told: ftplib by itself says EPRT and EPSV over IPv6 only."""

    announce = "PASV"
    trust_server_pasv_ipv4_address = True

    def makepasv(self) -> tuple[str, int]:
        if self.announce != "EPSV":
            return super().makepasv()
        assert self.sock
        return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())

    def makeport(self) -> socket.socket:
        listener = socket.create_server(("", 0), family=self.af, backlog=1)
        listener.settimeout(self.timeout)
        assert self.sock
        host, port = self.sock.getsockname()[0], listener.getsockname()[1]
        try:
            (self.sendeprt if self.announce == "EPRT" else self.sendport)(host, port)
        except BaseException:
            listener.close()
            raise
        return listener

    def sendeprt(self, host: str, port: int) -> str:
        return self.voidcmd(f"EPRT |1|{host}|{port}|")


def main() -> None:
    wanted = arguments()
    ftp = Announcing(timeout=wanted.patience)
    ftp.set_debuglevel(1)
    ftp.announce = wanted.announce
    ftp.trust_server_pasv_ipv4_address = not wanted.distrust
    ftp.connect(wanted.address, wanted.port)
    ftp.login("anonymous", "demo")
    ftp.set_pasv(wanted.announce in ("PASV", "EPSV"))
    ftp.cwd(wanted.directory)
    with wanted.upload.open("rb") as file:
        ftp.storbinary(f"STOR {wanted.upload_as}", file)
    with wanted.listing.open("w") as file:
        ftp.retrlines("LIST", lambda line: print(line, file=file))
    with wanted.download.open("wb") as file:
        ftp.retrbinary(f"RETR {wanted.download_of}", file.write)
    if wanted.then_wait:
        time.sleep(wanted.then_wait)
        ftp.voidcmd("NOOP")
    ftp.quit()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("announce", choices=["PORT", "EPRT", "PASV", "EPSV"])
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("directory")
    parser.add_argument("upload", type=Path)
    parser.add_argument("upload_as")
    parser.add_argument("listing", type=Path)
    parser.add_argument("download", type=Path)
    parser.add_argument("download_of")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds")
    parser.add_argument("--distrust", action="store_true", help="ignore the address in 227")
    parser.add_argument("--then-wait", type=float, default=0.0, help="seconds, then NOOP")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except ftplib.all_errors as error:
        sys.exit(f"{type(error).__name__}: {error}")
