"""The XML of Windows notifications, built as elements so that every text is escaped."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from routing.push.outcomes import Note, UnsupportedOption

# XML 1.0 has no way to write these, escaped or not.
UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,50}")


def text_of(root: Element) -> bytes:
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def clean(text: Any) -> str:
    return UNWRITABLE.sub("\ufffd", str(text))


def toast(note: Note, options: Mapping[str, Any]) -> Element:
    root = Element("toast")
    launch = options.get("launch") or note.url
    if launch:
        root.set("launch", clean(launch))
    visual = SubElement(root, "visual")
    images = list(options.get("images") or filter(None, [note.image]))
    bind(visual, str(options.get("template") or "ToastGeneric"), words(note, options), images)
    if note.icon and "template" not in options:
        SubElement(visual[0], "image", src=clean(note.icon), placement="appLogoOverride")
    if note.sound == "":
        SubElement(root, "audio", silent="true")
    elif isinstance(note.sound, str) and note.sound.startswith("ms-"):
        SubElement(root, "audio", src=clean(note.sound))
    if note.actions:
        actions = SubElement(root, "actions")
        for action in note.actions:
            SubElement(
                actions,
                "action",
                content=clean(action.get("title", "")),
                arguments=clean(action.get("action", "")),
            )
    return root


def tile(note: Note, options: Mapping[str, Any]) -> Element:
    root = Element("tile")
    images = list(options.get("images") or filter(None, [note.image]))
    template = str(options.get("template") or "TileMedium")
    bind(SubElement(root, "visual"), template, words(note, options), images)
    return root


def badge(number: int) -> Element:
    return Element("badge", value=str(max(number, 0)))


def words(note: Note, options: Mapping[str, Any]) -> list[str]:
    return list(options.get("texts") or filter(None, [note.title, note.body]))


def bind(visual: Element, template: str, texts: Sequence[str], images: Sequence[str]) -> None:
    """The old templates number their texts and images, the generic ones do not."""
    if not NAME.fullmatch(template):
        raise UnsupportedOption("the template must be a name such as ToastText01")
    binding = SubElement(visual, "binding", template=template)
    numbered = template[-1].isdigit()
    for place, text in enumerate(texts, start=1):
        element = SubElement(binding, "text", {"id": str(place)} if numbered else {})
        element.text = clean(text)
    for place, image in enumerate(images, start=1):
        element = SubElement(binding, "image", {"id": str(place)} if numbered else {})
        element.set("src", clean(image))


def element_of(given: Any) -> Element:
    """An element from `{"name", "attrs", "children"}`; children are elements or texts."""
    if not isinstance(given, Mapping) or not NAME.fullmatch(str(given.get("name", ""))):
        raise UnsupportedOption("an element of xml_data has a name, attrs and children")
    root = Element(str(given["name"]))
    for name, value in dict(given.get("attrs") or {}).items():
        if not NAME.fullmatch(str(name)):
            raise UnsupportedOption("an attribute of xml_data has no proper name")
        root.set(str(name), clean(value))
    for child in given.get("children") or ():
        if isinstance(child, Mapping):
            root.append(element_of(child))
        elif len(root):
            root[-1].tail = (root[-1].tail or "") + clean(child)
        else:
            root.text = (root.text or "") + clean(child)
    return root
