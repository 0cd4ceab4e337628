"""Whether VS Code's chat is signed in. No secret is read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

from stoker.vscode.installed_editors import Editor

#: Where VS Code keeps the account's state, without token or name.
_KEY = "chat.setupContext"
#: Its ``entitlement``: 1 is signed out, 2 not known yet; higher values belong to an account.
_SIGNED_OUT, _UNRESOLVED = 1, 2


def signed_in(editor: Editor) -> bool:
    """Whether the chat of ``editor`` was last used with an account.

    Also ``False`` where that can't be read: code-server keeps it in the browser.
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
