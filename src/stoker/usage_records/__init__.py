"""What each request took, kept in a database: written, summed and exported. Never content."""

from stoker.usage_records.usage_row import CLIENT_LEFT, UsageRow
from stoker.usage_records.usage_setting import OFF, USUAL_DAYS, store_at
from stoker.usage_records.usage_store import Group, UsageStore, UsageTotal
from stoker.usage_records.usage_writer import UsageWriter

__all__ = [
    "CLIENT_LEFT",
    "OFF",
    "USUAL_DAYS",
    "Group",
    "UsageRow",
    "UsageStore",
    "UsageTotal",
    "UsageWriter",
    "store_at",
]
