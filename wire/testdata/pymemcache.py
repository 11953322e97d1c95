"""What a user of pymemcache does; run by TestPymemcache with the host and the port of a server."""

import sys

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError, MemcacheUnknownCommandError

address = (sys.argv[1], int(sys.argv[2]))


def items(c):
    assert c.get("a") is None
    assert c.get("a", default=b"d") == b"d"
    assert c.set("a", b"1", noreply=False)
    assert c.get("a") == b"1"
    assert c.add("a", b"2", noreply=False) is False
    assert c.replace("a", b"3", noreply=False) is True
    assert c.append("a", b"4", noreply=False) is True
    assert c.prepend("a", b"2", noreply=False) is True
    assert c.get("a") == b"234"
    assert c.incr("a", 6) == 240
    assert c.decr("a", 1000) == 0
    assert c.incr("none", 1) is None
    assert c.touch("a", 100, noreply=False) is True
    assert c.touch("none", 100, noreply=False) is False
    assert c.delete("a", noreply=False) is True
    assert c.delete("a", noreply=False) is False


def quiet(c):
    c.set("q", b"1")
    c.append("q", b"2")
    c.delete("none")
    c.incr("q", 1, noreply=True)
    assert c.get("q") == b"13"


def many(c):
    keys = ["many%d" % i for i in range(1000)]
    assert c.set_many({k: k.encode() for k in keys}, noreply=False) == []
    got = c.get_many(keys + ["none"])
    assert got == {k: k.encode() for k in keys}, len(got)
    got = c.gets_many(keys[:3])
    assert all(value == k.encode() and int(cas) > 0 for k, (value, cas) in got.items())
    assert c.delete_many(keys, noreply=False)
    assert c.get_many(keys) == {}


def cas(c):
    c.set("c", b"1", noreply=False)
    value, unique = c.gets("c")
    assert value == b"1"
    assert c.cas("c", b"2", unique, noreply=False) is True
    assert c.cas("c", b"3", unique, noreply=False) is False
    assert c.cas("none", b"3", unique, noreply=False) is None


def errors(c):
    try:
        c.set("large", b"v" * (2 << 20), noreply=False)
        raise AssertionError("a value of 2 MiB was taken")
    except MemcacheServerError:
        pass
    c.set("word", b"word", noreply=False)
    try:
        c.incr("word", 1)
        raise AssertionError("a word was incremented")
    except MemcacheClientError:
        pass
    assert c.get("word") == b"word"
    try:
        c.raw_command(b"nothing")
        raise AssertionError("an unknown command was taken")
    except (MemcacheUnknownCommandError, AttributeError):
        pass


def server(c):
    assert c.version()
    assert c.stats()[b"pointer_size"] in (b"64", 64)
    assert c.stats("settings")
    assert c.verbosity(0) if hasattr(c, "verbosity") else True
    assert c.flush_all(noreply=False) is True


client = Client(address, timeout=20)
for test in (items, quiet, many, cas, errors, server):
    test(client)
client.quit()

pooled = PooledClient(address, max_pool_size=4, timeout=20)
items(pooled)
many(pooled)

hashed = HashClient([address], use_pooling=True, timeout=20)
hashed.set_many({"h%d" % i: b"v" for i in range(100)})
assert len(hashed.get_many(["h%d" % i for i in range(100)])) == 100
