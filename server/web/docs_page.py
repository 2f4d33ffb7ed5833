"""The documentation page at /docs: Swagger UI from the installed package, nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import swagger_ui_bundle

ASSETS: Final[dict[str, str]] = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui-standalone-preset.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
START: Final = "start.js"
CONTRACT: Final = "/docs/contract.json"
#: Only our own files may be loaded, and none of them may call anyone else.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "max-age=3600",
}
PAGE: Final = """<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<title>澄信 API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/assets/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/swagger-ui-standalone-preset.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
""".encode()
_START_JS: Final = b"""window.onload = function () {
  window.ui = SwaggerUIBundle({
    url: "/docs/contract.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset], layout: "StandaloneLayout"
  });
};
"""


def readable(document: dict[str, Any]) -> dict[str, Any]:
    """The contract as the page's viewer takes it: version 4 of Swagger UI draws 3.1 documents only when called 3.0."""
    return document | {"openapi": "3.0.3"}


def asset(name: str) -> tuple[bytes, str] | None:
    """The bytes and content type of one file of the page; None for any other name."""
    if name == START:
        return _START_JS, ASSETS["swagger-ui-bundle.js"]
    content_type = ASSETS.get(name)
    if content_type is None:
        return None
    return (_folder() / name).read_bytes(), content_type


def _folder() -> Path:
    root = Path(swagger_ui_bundle.__file__).parent
    return next(iter(sorted(root.rglob("swagger-ui-bundle.js")))).parent
