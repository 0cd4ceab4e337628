"""The paths of the dashboard, and which of them are answered before anyone has signed in."""

from __future__ import annotations

HOME = "/ui"
#: The same page as people type it.
HOME_SLASH = "/ui/"
LIVE = "/ui/live"
OWNERS = "/ui/owners"
SIGN_IN = "/ui/sign-in"
SIGN_OUT = "/ui/sign-out"
STYLE = "/ui/dashboard.css"
SCRIPT = "/ui/dashboard.js"
ICON = "/ui/icon.svg"

#: They show nothing of models or users. ``SIGN_OUT`` ends the session that it is sent with.
OPEN = frozenset({HOME_SLASH, SIGN_IN, SIGN_OUT, STYLE, SCRIPT, ICON})
#: A browser that has not signed in is led to ``SIGN_IN`` from these.
PAGES = frozenset({HOME, OWNERS})
#: What a session opens, in place of a key in a header.
GUARDED = PAGES | {LIVE}
