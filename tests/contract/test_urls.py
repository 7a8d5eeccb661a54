"""URLs: how they are read and encoded, and how they are compared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from statusjob.contract.urls import BadURL, encode_host, normal_form, origin_of, parse_url


class HostTests(SynchronousTestCase):
    """Names of hosts."""

    def test_letters_digits_hyphens_and_underscores_stay_as_they_are(self) -> None:
        for host in (
            "my_service",
            "docker_api_1.docker_default",
            "ab--cd.example",
            "_dmarc.example",
            "-a-",
            "xn--a",
            "a" * 63,
            "127.1",
            "localhost.",
        ):
            self.assertEqual(encode_host(host), host)

    def test_names_are_lower_case(self) -> None:
        self.assertEqual(encode_host("My_Service"), "my_service")

    def test_other_labels_are_encoded_by_idna(self) -> None:
        for host, encoded in (
            ("b\u00fccher.my_shop.example", "xn--bcher-kva.my_shop.example"),
            ("B\u00dcCHER\u3002example", "xn--bcher-kva.example"),
            ("\u2460\u2461\u2466.0.0.1", "127.0.0.1"),
        ):
            self.assertEqual(encode_host(host), encoded)

    def test_what_is_no_name_is_refused_with_the_reason(self) -> None:
        for host, reason in (
            ("a..b", "empty label"),
            (".a", "empty label"),
            ("a" * 64, "longer than 63"),
            ("a." * 128, "longer than 253"),
            ("a%2eb", "characters"),
            ("m\u00fc_x", "characters"),
            ("a*b", "characters"),
        ):
            self.assertIn(reason, str(self.assertRaises(BadURL, encode_host, host)))

    @given(st.text(max_size=12))
    def test_any_text_is_encoded_in_ascii_once_and_for_all_or_refused(self, text: str) -> None:
        try:
            host = encode_host(text)
        except BadURL:
            return
        self.assertRegex(host, r"\A[a-z0-9_.-]+\Z")
        self.assertEqual(encode_host(host), host)


class ParseTests(SynchronousTestCase):
    """URLs as they are dialled."""

    def test_any_octet_may_be_escaped(self) -> None:
        for url in (
            "http://h/%E4",
            "http://h/?x=%E4",
            "http://h/%ff%00%2F?%E4=%00",
            "http://h/%zz",
        ):
            self.assertEqual(parse_url(url).to_text(), url)

    def test_characters_beside_escaped_octets_are_encoded(self) -> None:
        self.assertEqual(parse_url("http://h/\u00fc%E4").to_text(), "http://h/%C3%BC%E4")

    def test_an_empty_port_is_the_default_one(self) -> None:
        for url, origin in (
            ("http://h:/", "http://h:80"),
            ("https://h:", "https://h:443"),
            ("http://h:?a:b", "http://h:80"),
            ("http://user:@[::1]:/x", "http://[::1]:80"),
        ):
            self.assertEqual(origin_of(url), origin)

    def test_what_is_no_url_is_refused_with_the_reason(self) -> None:
        for url, reason in (
            ("h", "begin with http"),
            ("//h/", "begin with http"),
            ("ftp://h/", "begin with http"),
            ("http:///x", "begin with http"),
            ("http://h:0/", "port"),
            ("http://h:65536/", "port"),
            ("http://h:x/", "malformed"),
            ("http://[::1/", "malformed"),
            ("http://h/a b", "blanks"),
            ("http://h/\x00", "blanks"),
            ("http://a..b/", "empty label"),
        ):
            self.assertIn(reason, str(self.assertRaises(BadURL, parse_url, url)), url)

    @given(st.text(max_size=20))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        for url in (text, f"http://{text}", f"http://h/{text}"):
            try:
                parsed = parse_url(url)
            except BadURL:
                continue
            self.assertTrue(parsed.to_text().isascii())
            self.assertEqual(normal_form(normal_form(url)), normal_form(url))


class NormalFormTests(SynchronousTestCase):
    """URLs as they are compared."""

    def test_spellings_of_one_url_are_equal(self) -> None:
        for url, *spellings in (
            (
                "http://localhost:9",
                "http://localhost:9/",
                "HTTP://LOCALHOST:9",
                "http://localhost:9/?",
                "http://localhost:9/#a",
            ),
            ("http://h", "http://h:80/", "http://h:", "http://H:080", "HTTP://H"),
            ("https://b\u00fccher.example/\u00fc", "https://XN--BCHER-KVA.example:443/%C3%BC#"),
        ):
            for spelling in spellings:
                self.assertEqual(normal_form(spelling), normal_form(url), spelling)

    def test_different_urls_are_not(self) -> None:
        urls = [
            "http://h/",
            "https://h/",
            "http://h:81/",
            "http://h./",
            "http://h//",
            "http://h/a",
            "http://h/A",
            "http://h/a/",
            "http://h/a?b",
            "http://h/a?b=",
            "http://user@h/a",
            "http://user:pass@h/a",
        ]
        self.assertEqual(len(set(map(normal_form, urls))), len(urls))
