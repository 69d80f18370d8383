"""Calls one PEP 517 hook of a build backend and writes its answer to a file.

Reads one JSON object from standard input: `backend` (`module:object`), `backend_path` (folders,
relative to the source tree, which is the current folder), `hook`, `arguments` (a list), `result`
(the file the answer goes to). A hook that the backend does not have answers with `null`.
"""

import importlib
import json
import os
import sys


def main():
    call = json.load(sys.stdin)
    sys.path[:0] = [os.path.abspath(folder) for folder in call["backend_path"]]
    module, _, path = call["backend"].partition(":")
    backend = importlib.import_module(module)
    for name in filter(None, path.split(".")):
        backend = getattr(backend, name)
    hook = getattr(backend, call["hook"], None)
    # A backend that reads `sys.argv` (setuptools does) must not see this script's own.
    sys.argv = ["setup.py"]
    answer = None if hook is None else hook(*call["arguments"])
    with open(call["result"], "w", encoding="utf-8") as file:
        json.dump(answer, file)


main()
