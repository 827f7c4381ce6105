"""Sphinx's settings. `cmake --workflow --preset docs` sets what the environment has to say."""

import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_header = (ROOT / "include" / "elman" / "elman.h").read_text(encoding="utf-8")

project = "elman"
author = "the elman authors"
version = release = ".".join(re.findall(r"#define ELMAN_VERSION_[A-Z]+ (\d+)", _header)[:3])

extensions = [
    "breathe",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["requirements.txt", "notes"]
html_theme = "furo"
html_title = f"elman {release}"
html_copy_source = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
# Links that lead out of docs/, to sources and programs, are checked by docs/check/links.py.
suppress_warnings = ["myst.xref_missing"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

breathe_projects = {"elman": os.environ["ELMAN_DOXYGEN_XML"]}
breathe_default_project = "elman"


def _schemas(app, docname, source):
    """Writes the operators' schemas into their page, as the built library has them."""
    if docname != "api/operators":
        return
    import elman  # noqa: F401
    import torch

    names = sorted({schema.name for schema in torch._C._jit_get_all_schemas()})
    parts = []
    for name in names:
        if name.startswith("elman::") and not name.startswith("elman::_"):
            lines = map(str, torch._C._jit_get_schemas_for_operator(name))
            parts.append(f"## {name}\n\n```text\n" + "\n\n".join(lines) + "\n```\n")
    source[0] = source[0].replace("@schemas@", "\n".join(parts))


def setup(app):
    """What Sphinx calls."""
    app.connect("source-read", _schemas)
