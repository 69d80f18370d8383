# Tries imports and a small tensor operation on each device. One JSON object per event goes to
# standard error, on a line that begins with a record separator, so that what libraries print
# between a step's begin and end belongs to that step.
import json, os, sys, traceback

REQUEST = json.loads(sys.argv[1])
OUT = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="backslashreplace")
os.dup2(2, 1)  # Whatever is printed belongs to the step, too.


def event(**fields):
    sys.stdout.flush()
    sys.stderr.flush()
    OUT.write("\n\x1e" + json.dumps(fields) + "\n")
    OUT.flush()


def step(kind, name, action):
    event(event="begin", kind=kind, name=name)
    try:
        result = action()
    except BaseException:
        traceback.print_exc()
        event(event="end", ok=False)
    else:
        event(event="end", ok=True, result=result)


def load(name):
    module = __import__(name)
    return {
        "file": getattr(module, "__file__", None),
        "version": str(getattr(module, "__version__", "")) or None,
    }


def multiply(device):
    import torch

    x = torch.arange(6, dtype=torch.float32, device=device).reshape(2, 3)
    total = (x @ x.T).sum().item()
    if total != 83.0:
        raise RuntimeError("a small matrix product is %r instead of 83.0" % total)
    return {"device": device}


def cuda():
    import torch

    torch.cuda.init()
    return {"count": torch.cuda.device_count()}


def numpy_bridge():
    import torch

    return {"sum": float(torch.arange(3).numpy().sum())}


def read(path):
    import tokenize

    with tokenize.open(path) as file:
        compile(file.read(), path, "exec", dont_inherit=True)
    return None


for path in REQUEST["compile"]:
    step("compile", path, lambda: read(path))
for name in REQUEST["imports"]:
    step("import", name, lambda: load(name))
if REQUEST["torch"] and "torch" in sys.modules:
    import torch

    step("device", "cpu", lambda: multiply("cpu"))
    if "numpy" in REQUEST["imports"]:
        step("bridge", "numpy", numpy_bridge)
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            step("device", "cuda:%d" % number, lambda: multiply("cuda:%d" % number))
    elif REQUEST["gpu"]:
        step("device", "cuda", cuda)
    for name in ("mps", "xpu"):
        backend = getattr(torch.backends, name, None) or getattr(torch, name, None)
        if backend is not None and getattr(backend, "is_available", bool)():
            step("device", name, lambda: multiply(name))
event(event="done")
