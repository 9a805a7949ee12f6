"""What a client sees while the store is away, and when it is back: the same whatever the store and whatever ails it."""

import hashlib

from host import eventually


class Known:
    """A function that the server has in memory, by number, alias and as the latest; and one that it has not."""

    def __init__(self, mayfly):
        self.mayfly = mayfly
        old, new = [mayfly.upload("known", "python", f"return {n!r}").json["version"] for n in ("old", "new")]
        assert mayfly.set_alias("known", "prod", old).status == 200
        self.calls = {None: "new", new: "new", old: "old", "prod": "old"}
        self.version = old
        self.run()

    def run(self):
        for version, expected in self.calls.items():
            assert self.mayfly.run("known", version=version).data == expected

    def expect_served(self):
        """What needs no store goes on."""
        assert self.mayfly.get("/healthz").status == 200
        assert self.mayfly.python("return 'at once'").data == "at once"
        self.run()


def start_with_stored(mayfly):
    """mayfly, with a function that is stored and that it has not in memory."""
    mayfly.start()
    assert mayfly.upload("stored", "python", "return 'read'").status == 200
    mayfly.stop()
    return mayfly.start()


def is_away(answer):
    """It says so, and when to come again."""
    if (answer.status, answer.code) != (503, "store_unavailable"):
        return False
    assert int(answer.headers["retry-after"]) >= 1
    return True


def says_away(mayfly):
    answer = mayfly.get("/readyz")
    return answer.status == 503 and answer.json["store"] == "unavailable"


def expect_away(known, reads_too=True, refused=True):
    """reads_too: what is not in memory cannot be read either. refused: what is answered 503 has not been done."""
    mayfly = known.mayfly
    eventually(lambda: is_away(mayfly.upload("away", "python", "return 1")), mayfly.log)
    eventually(lambda: says_away(mayfly), mayfly.log)
    known.expect_served()
    answers = [mayfly.upload("away", "python", "return 1")]
    if refused:
        answers.append(mayfly.upload("known", "python", "return 'newest'"))
        answers.append(mayfly.set_alias("known", "stage", known.version))
    if reads_too:
        answers += [mayfly.functions(), mayfly.describe("known"), mayfly.run("unknown")]
    for answer in answers:
        assert is_away(answer), answer
    known.expect_served()
    assert "store.down" in mayfly.log()


def wait_back(mayfly):
    """By itself. Ready alone may be what was true a moment ago."""
    eventually(lambda: mayfly.upload("back", "python", "return 1").status == 200, mayfly.log)
    eventually(mayfly.is_ready, mayfly.log)


def expect_back(known):
    """Nothing was lost, and what was refused was not kept."""
    mayfly = known.mayfly
    wait_back(mayfly)
    known.expect_served()
    expect_works(mayfly)
    described = mayfly.describe("known").json
    assert described["aliases"] == {"prod": known.version}


def expect_works(mayfly, path="works"):
    """Uploads, reads, lists, names and removes."""
    code = f"return '{path}'"
    answer = mayfly.upload(path, "python", code)
    assert answer.status == 200 and answer.json["hash"] == hashlib.sha256(code.encode()).hexdigest(), answer
    version = answer.json["version"]
    assert mayfly.run(path).data == path
    assert mayfly.describe(path, version=version).json["code"] == code
    assert [entry["path"] for entry in mayfly.functions(prefix=path).json["functions"]] == [path]
    assert mayfly.set_alias(path, "a", version).status == 200
    assert mayfly.delete(f"/functions/{path}/aliases/a").status == 204
    assert mayfly.remove(path).status == 204
    assert mayfly.run(path).status == 404
