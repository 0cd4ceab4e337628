"""Whether VS Code's chat knows an account, without touching any secret."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from stoker.vscode.installed_editors import Editor

#: Where VS Code keeps what it knows of the account: no token and no name.
_KEY = "chat.setupContext"
#: ``entitlement`` there: 1 is "signed out", 2 "not known yet", what is above belongs to an account.
_SIGNED_OUT, _UNRESOLVED = 1, 2


def signed_in(editor: Editor) -> bool:
    """Whether the chat of ``editor`` was last used with an account.

    ``False`` too where that can't be read: code-server keeps it in the browser.
    """
    folder = (editor.application_settings or editor.settings).parent
    database = folder / "globalStorage/state.vscdb"
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as opened:
            row = opened.execute("SELECT value FROM ItemTable WHERE key = ?", (_KEY,)).fetchone()
        state = json.loads(row[0]) if row else None
    except (sqlite3.Error, ValueError, OSError):
        return False
    entitlement = state.get("entitlement") if isinstance(state, dict) else None
    return entitlement not in (None, _SIGNED_OUT, _UNRESOLVED)
