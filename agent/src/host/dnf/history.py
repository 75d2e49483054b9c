"""Reads the history of dnf 4 and of all who use its library; the answer is one JSON object.

The request is the file named by the first argument: the `database`, and the transaction `from` which on they are told;
without one only the last is. Nothing is changed, and nobody is kept waiting.
"""

import json
import pwd
import sqlite3
import sys
import urllib.parse


def name(uid, whole):
    # A program without a login has the highest number.
    if uid in (-1, 0xFFFFFFFF):
        return ""
    try:
        return "{} ({})".format(pwd.getpwuid(uid).pw_name, uid) if whole else str(uid)
    except KeyError:
        return str(uid)


def evr(epoch, version, release):
    return "{}{}-{}".format("{}:".format(epoch) if epoch else "", version, release)


def transactions(base, ask):
    first = ask["from"]
    if first is None:
        first = base.execute("SELECT coalesce(max(id), 0) FROM trans").fetchone()[0]
    found = base.execute(
        "SELECT id, dt_begin, coalesce(dt_end, 0), user_id, coalesce(cmdline, '') FROM trans WHERE id >= ? ORDER BY id",
        (first,),
    ).fetchall()
    for number, begun, ended, user, command in found:
        # States and actions are those of libdnf (TransactionItemState, TransactionItemAction): what was done.
        items = base.execute(
            "SELECT rpm.name, rpm.arch, rpm.epoch, rpm.version, rpm.release, trans_item.action FROM trans_item"
            " JOIN rpm ON rpm.item_id = trans_item.item_id WHERE trans_item.trans_id = ? AND trans_item.state = 1"
            " ORDER BY trans_item.id",
            (number,),
        )
        yield {
            "id": number,
            "begun": begun,
            "ended": bool(ended),
            "by": name(user, ask["whole"]),
            "command": command,
            "items": [
                {"name": row[0], "arch": row[1], "evr": evr(*row[2:5]), "action": row[5]} for row in items
            ],
        }


def main():
    with open(sys.argv[1]) as file:
        ask = json.load(file)
    path = urllib.parse.quote(ask["database"])
    try:
        base = sqlite3.connect("file:{}?mode=ro".format(path), uri=True, timeout=30)
        answer = {"transactions": list(transactions(base, ask))}
        base.close()
    except sqlite3.Error as error:
        answer = {"refused": "the history of dnf cannot be read: {}".format(error)}
    json.dump(answer, sys.stdout)


main()
