"""What a user of pylibmc does with binary=True; run with the host, the port and perhaps a user and a password."""

import sys

import pylibmc

host, port, user, password = (sys.argv[1:] + [None, None])[:4]


def client(password, **behaviors):
    auth = {"username": user, "password": password} if user else {}
    return pylibmc.Client([f"{host}:{port}"], binary=True, behaviors=behaviors, **auth)


def want(name, got, wanted):
    assert got == wanted, f"{name}: got {got!r}; want {wanted!r}"


c = client(password, cas=True, tcp_nodelay=True)
c.flush_all()
want("miss", c.get("a"), None)
want("set", c.set("a", {"k": [1, 2]}), True)
want("get", c.get("a"), {"k": [1, 2]})
want("add", c.add("a", 1), False)
want("replace", c.replace("a", "r"), True)
want("set of text", c.set("s", "mid"), True)
c.append("s", ">")
c.prepend("s", "<")
want("append and prepend", c.get("s"), "<mid>")
value, cas = c.gets("a")
want("cas", c.cas("a", "new", cas), True)
want("cas again", c.cas("a", "newer", cas), False)
want("after cas", c.get("a"), "new")
want("number", c.set("n", 5), True)
want("incr", c.incr("n", 7), 12)
want("decr", c.decr("n", 100), 0)
for name, ask in {"incr": lambda: c.incr("none"), "replace": lambda: c.replace("none", 1)}.items():
    try:
        ask()
        raise AssertionError(name + " of a miss")
    except pylibmc.NotFound:
        pass
want("touch", c.touch("a", 100), True)
many = {f"m{i}": "v" * i for i in range(1, 500)}
want("set_multi", c.set_multi(many), [])
want("get_multi", c.get_multi(list(many) + ["x"]), many)
want("delete_multi", c.delete_multi(list(many)), True)
want("delete", c.delete("a"), True)
want("delete of a miss", c.delete("a"), False)
big = "b" * 900_000
want("large", c.set("big", big), True)
want("large get", c.get("big"), big)
(_, stats), = c.get_stats()
want("stats", int(stats[b"curr_items"] if b"curr_items" in stats else stats["curr_items"]) > 2, True)

if user:
    try:
        client("wrong").get("a")
        raise AssertionError("a wrong password was let in")
    except pylibmc.Error:
        pass
print("good")
