"""addresses.py: a client's address cannot be chosen by the client, and one IPv6 site is one bucket."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast.addresses import Proxies, bucket, parse_network

OURS = Proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8:ff::/48"])


@pytest.mark.parametrize("forwarded_for", ["203.0.113.9", "garbage", "", None])
def test_without_trusted_proxies_the_peer_is_the_client(forwarded_for: str | None) -> None:
    assert Proxies([]).client("198.51.100.1", forwarded_for) == "198.51.100.1"


@pytest.mark.parametrize("peer", ["198.51.100.1", "2001:db8::1", "", "unix", "not an address"])
def test_a_peer_that_is_no_proxy_of_ours_is_the_client_whatever_it_says(peer: str) -> None:
    assert OURS.client(peer, "203.0.113.9") == peer


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9,10.0.0.2,192.0.2.7", "203.0.113.9"),
        # what stands left of the first address that is not ours is the client's own word
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        # only our own proxies: the left-most of them began the chain
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        # garbage: the last good address
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, _hidden, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.999", "10.0.0.1"),
        # other spellings of an address
        ("10.0.0.1", "203.0.113.9:51234", "203.0.113.9"),
        ("10.0.0.1", "[2001:DB8::1]:51234", "2001:db8::1"),
        ("10.0.0.1", "2001:DB8:0::1", "2001:db8::1"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("2001:db8:ff::1", "203.0.113.9", "203.0.113.9"),
    ],
)
def test_behind_trusted_proxies_the_right_most_untrusted_address_is_the_client(
    peer: str, forwarded_for: str | None, client: str
) -> None:
    assert OURS.client(peer, forwarded_for) == client


addresses = st.ip_addresses().map(str)


@given(st.lists(st.text(alphabet="0123456789abcdef.:, []%", max_size=40) | addresses, max_size=5), addresses)
def test_what_a_client_writes_does_not_change_its_address(own_words: list[str], client: str) -> None:
    expected = OURS.client("10.0.0.1", client)
    if OURS.client(client, "203.0.113.9") == client:  # the client is none of our proxies
        assert OURS.client("10.0.0.1", ", ".join([*own_words, client])) == expected


@given(st.text(max_size=60))
def test_no_header_makes_it_fail(forwarded_for: str) -> None:
    assert OURS.client("10.0.0.1", forwarded_for)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("", ""),
        ("unix", "unix"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_an_ipv6_site_is_one_bucket(address: str, key: str) -> None:
    assert bucket(address) == key


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_all_addresses_of_a_64_share_a_bucket(address: ipaddress.IPv6Address, host: int) -> None:
    if address.ipv4_mapped is None:
        other = ipaddress.IPv6Address(int(address) >> 64 << 64 | host)
        if other.ipv4_mapped is None:
            assert bucket(str(address)) == bucket(str(other))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_its_own_bucket_also_inside_ipv6(address: ipaddress.IPv4Address) -> None:
    assert bucket(str(address)) == bucket(f"::ffff:{address}") == str(address)


@pytest.mark.parametrize("entry", ["", "proxy", "10.0.0.0/33", "10.0.0.256", "10.0.0.1/8", "*", "10.0.0.0/8 "])
def test_an_entry_that_is_no_network_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="an address or a network such as"):
        parse_network(entry)
    with pytest.raises(ValueError, match="an address or a network"):
        Proxies([entry])


def test_a_trusted_ipv4_network_may_be_written_as_ipv6() -> None:
    assert Proxies(["::ffff:10.0.0.0/104"]).client("10.1.2.3", "203.0.113.9") == "203.0.113.9"
