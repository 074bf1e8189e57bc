"""The sessions of the tutorial and the how-to pages, typed on the hosts of a lab: `python -m tests.walkthrough PAGE...`.

`page` reads what a page says is typed and shown, `hosts` are where it is typed, `likeness` compares what is shown with
what the page says, `session` goes through a page.
"""
