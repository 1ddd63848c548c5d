"""Share: the link to the current view, as text, as a QR code, and as an embed snippet."""

from __future__ import annotations

import ipaddress
from html import escape
from urllib.parse import urlencode, urlsplit

import segno
import streamlit as st

_EMBED = {"embed": "true"}
_HEIGHT = 720  # pixels of an embedded page


def offer_link() -> None:
    """Draw the button that opens the dialog."""
    if st.button("Share", icon=":material/share:", key="share"):
        _show_link()


def view_url(**more: str) -> str:
    """Return the address that reopens the current view, with further query parameters."""
    root = (st.context.url or "").partition("?")[0]
    query = urlencode({**st.query_params.to_dict(), **more})
    return f"{root}?{query}" if query else root


def qr_code(url: str) -> str:
    """Draw a QR code, black on white with its quiet zone, as the address of an SVG."""
    code = segno.make(url, micro=False, error="m")
    return str(code.svg_data_uri(border=4, light="#fff", scale=8))


def show_address(url: str, button: str) -> None:
    """Show an address, with its QR code if other devices can open it.

    Parameters
    ----------
    url : str
        The address.
    button : str
        What to press again at an address that other devices can open.
    """
    st.code(url, language=None, wrap_lines=True)
    if _is_local(url):
        st.caption(
            "This address works on this computer only. To share it with other devices, open "
            f"the app at its network address, which the terminal shows, and press {button} there: "
            "the link then comes with a QR code."
        )
    else:
        st.html(f'<img class="vae-qr" src="{qr_code(url)}" alt="QR code of the link">')


@st.dialog("Share this view", width="medium")
def _show_link() -> None:
    show_address(view_url(), "Share")
    st.caption("To embed this view in a web page:")
    embedded = escape(view_url(**_EMBED))
    st.code(
        f'<iframe src="{embedded}" width="100%" height="{_HEIGHT}" title="VAE Explorer"></iframe>',
        language="html",
        wrap_lines=True,
    )
    st.caption("Uploaded photos and drawings are never part of a link.")


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
