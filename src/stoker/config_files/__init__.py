"""Edits people's configuration files: one value at a time, every other byte kept, and undone."""

from stoker.config_files.edits import FileFormat, FormatName, ValueChange, file_format
from stoker.config_files.path_in_file import Keys, words
from stoker.config_files.written_file import WrittenFile

__all__ = [
    "FileFormat",
    "FormatName",
    "Keys",
    "ValueChange",
    "WrittenFile",
    "file_format",
    "words",
]
