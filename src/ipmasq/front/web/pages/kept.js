// The latest messages of one kind, bounded in number and in characters: a usual event has 300, one with a long line fifty thousand.
export const LARGEST = 1 << 20;

const MOST = { summary: 600, happened: 1000, gateway: 1 };

export class Latest {
  values = [];
  #sizes = [];
  #size = 0;
  #most;

  constructor(kind) { this.#most = MOST[kind]; }

  add(value, size) {
    this.values.push(value);
    this.#sizes.push(size);
    this.#size += size;
    let over = 0;
    while (this.values.length - over > this.#most || this.#size > LARGEST) { this.#size -= this.#sizes[over]; over += 1; }
    if (over) { this.values.splice(0, over); this.#sizes.splice(0, over); }
  }
}
