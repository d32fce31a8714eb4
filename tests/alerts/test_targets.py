"""Where webhooks may go, and that nothing else can be reached through them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tallycast.addresses import Address
from tallycast.alerts.targets import Barred, Doors, _parse, is_public, parse_target

PRIVATE = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.1.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "224.0.1.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]
PUBLIC = [
    "8.8.8.8",
    "93.184.216.34",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


def doors(*found: str, networks: Sequence[str] = ()) -> Doors:
    return Doors(networks, resolve=lambda _host, _port: found)


async def go(url: str, *found: str, networks: Sequence[str] = ()) -> list[str]:
    return await doors(*found, networks=networks).addresses(parse_target(url))


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_one_host_of_the_open_internet_is_not_public(address: str) -> None:
    assert not is_public(_parse(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_open_internet_is_public(address: str) -> None:
    assert is_public(_parse(address))


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    with pytest.raises(Barred, match="TALLYCAST_WEBHOOK_NETWORKS"):
        await go("https://innocent.example/hook", address)


async def test_a_name_is_refused_if_only_one_of_its_addresses_leads_inside() -> None:
    with pytest.raises(Barred):
        await go("https://innocent.example/hook", "8.8.8.8", "10.0.0.1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0", "[::1]", "[::]",
             "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]"]
)  # fmt: skip
async def test_the_machine_itself_is_refused_however_it_is_written(host: str) -> None:
    with pytest.raises(Barred):
        await Doors(()).addresses(parse_target(f"https://{host}/hook"))


async def test_the_operator_opens_a_network_and_no_more_than_it() -> None:
    assert await go("http://cms.internal:8080/hook", "10.1.2.3", networks=["10.1.0.0/16"]) == ["10.1.2.3"]
    assert await go("http://cms.internal/", "::ffff:10.1.2.3", networks=["10.1.0.0/16"]) == ["10.1.2.3"]
    assert await go("http://cms.internal:22/", "fd00::7", networks=["fd00::/8"]) == ["fd00::7"]
    with pytest.raises(Barred):
        await go("http://cms.internal/hook", "10.2.2.3", networks=["10.1.0.0/16"])


async def test_where_there_are_several_addresses_a_few_are_tried() -> None:
    found = [f"8.8.8.{n}" for n in (4, 4, 1, 2, 3, 5)]
    assert await go("https://many.example/", *found) == ["8.8.8.4", "8.8.8.1", "8.8.8.2"]


async def test_outside_only_https_and_the_webs_ports_will_do() -> None:
    for url in ("https://a.example/", "https://a.example:80/", "https://a.example:8443/x?y=z"):
        assert await go(url, "8.8.8.8") == ["8.8.8.8"]
    with pytest.raises(Barred, match="https://"):
        await go("http://a.example/", "8.8.8.8")
    for port in (1, 22, 25, 53, 1023):
        with pytest.raises(Barred, match=f"port {port}"):
            await go(f"https://a.example:{port}/", "8.8.8.8")


async def test_a_name_without_an_address_is_said_to_have_none() -> None:
    def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError("who?")

    with pytest.raises(Barred, match=r"the host nowhere\.example has no address"):
        await Doors((), resolve=nobody).addresses(parse_target("https://nowhere.example/"))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "2000 characters"),
        ("https://a.example/" + "x" * 2000, "2000 characters"),
        (7, "2000 characters"),
        ("ftp://a.example/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://a.example/", "https://"),
        ("//a.example/", "https://"),
        ("https:///hook", "https://"),
        ("https://a.example:99999/", "port"),
        ("https://a.example:0/", "port"),
        ("https://[::1/", "no URL"),
        ("https://a\x00.example/", "no URL"),
        ("https://me:secret@a.example/", "user or password"),
        ("https://me@a.example/", "user or password"),
        ("https://a.example/#here", "fragment"),
    ],
)
def test_a_url_that_will_not_do_is_refused(url: object, why: str) -> None:
    with pytest.raises(Barred, match=why):
        parse_target(url)


def test_an_address_inside_another_is_taken_out() -> None:
    found: list[Address] = [_parse("::ffff:10.0.0.1"), _parse("fe80::1%3")]
    assert [str(one) for one in found] == ["10.0.0.1", "fe80::1"]
