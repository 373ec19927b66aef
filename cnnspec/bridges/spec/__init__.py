"""Networks from elsewhere as the text of a spec: `to_spec(items, name)`."""

from cnnspec.bridges.spec.items import Item, Items
from cnnspec.bridges.spec.text import Written, to_spec

__all__ = ["Item", "Items", "Written", "to_spec"]
