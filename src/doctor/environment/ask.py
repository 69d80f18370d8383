import json, platform, site, struct, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "prefix": sys.prefix,
    "base_prefix": sys.base_prefix,
    "implementation": sys.implementation.name,
    "version": platform.python_version().rstrip("+"),
    "pointer_bits": struct.calcsize("P") * 8,
    "machine": platform.machine(),
    "path": [entry for entry in sys.path if entry],
    "user_site": site.getusersitepackages() if hasattr(site, "getusersitepackages") else None,
    "ext_suffix": sysconfig.get_config_var("EXT_SUFFIX") or "",
}))
