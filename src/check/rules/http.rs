//! The findings about HTTP, over TLS and without.

use super::{rules, Entry};
use crate::finding::{Rule, Severity};

rules! {
    NO_ANSWER: "no-answer", Error;
        why "A secure connection without an answer is of no use to a client.";
        about "The handshake succeeded, and a GET request for the URL was not answered in HTTP/1.1.";
        fix "read the server's log; a missing client certificate can look like this too";
        see "RFC 9110 §9.3.1";
    HTTPS_REDIRECTS_TO_HTTP: "https-redirects-to-http", Error;
        why "Clients leave a secure connection for one that everyone on the way can read.";
        about "The answer over HTTPS is a redirect to an http:// URL. Together with a redirect to HTTPS it is a loop as well.";
        fix "redirect to a relative address, or to https://; behind a proxy, have the program trust X-Forwarded-Proto \
            (Express: app.set('trust proxy', 'loopback'))";
        see "RFC 9110 §15.4";
    HTTPS_REDIRECT_LOOP: "https-redirect-loop", Error;
        why "Clients follow the redirects until they give up.";
        about "The redirects of the URL, followed over HTTPS within this server, came back to an earlier address \
            or did not end within five. There is no finding when one of them sets a cookie, because a client that \
            sends the cookie may be redirected elsewhere.";
        fix "answer the URL itself; behind a proxy that speaks HTTPS, have the program trust X-Forwarded-Proto, so that it does \
            not redirect to HTTPS once more (Express: app.set('trust proxy', 'loopback'))";
        see "RFC 9110 §15.4";
    CONTENT_CODING_UNASKED: "content-coding-unasked", Warning;
        why "A client that does not offer to decode a body gets bytes that it cannot read.";
        about "The request had no Accept-Encoding field, like requests of many small clients, and the answer has a Content-Encoding. \
            The standard permits it; curl without --compressed, Python's urllib and most clients in firmware do not decode.";
        fix "nginx: gzip on; compresses only for clients that ask for it; remove gzip_static always;
Node: compress when req.headers['accept-encoding'] names the coding; Express: the module compression does so
lockgate: send no Content-Encoding of your own";
        see "RFC 9110 §12.5.3";
    HSTS_MISSING: "hsts-missing", Warning;
        why "An attacker on the way can keep a browser on http:// once it starts there.";
        about "The certificate comes from a public authority, and the answer has no Strict-Transport-Security field. Programs \
            other than browsers ignore that field.";
        fix "lockgate serve --hsts auto; in a program web::SecurityFields::new().hsts([\"NAME\"], Duration::from_secs(31_536_000))
nginx: add_header Strict-Transport-Security max-age=31536000 always;
Node: res.setHeader('Strict-Transport-Security', 'max-age=31536000')";
        see "RFC 6797 §6.1";
    HSTS_INVALID: "hsts-invalid", Warning;
        why "Browsers ignore a field that they cannot parse, so it gives no protection.";
        about "The Strict-Transport-Security field has no max-age, or one that is not a number; or there are several such fields \
            that differ.";
        fix "lockgate: web::SecurityFields::new().hsts([\"NAME\"], Duration::from_secs(31_536_000))
nginx: add_header Strict-Transport-Security max-age=31536000 always;
Node: res.setHeader('Strict-Transport-Security', 'max-age=31536000')";
        see "RFC 6797 §6.1";
    HSTS_LOCKS_OUT: "hsts-locks-out", Warning;
        why "With HSTS a browser lets nobody past a certificate that it does not trust: users are locked out of their device.";
        about "The answer has a Strict-Transport-Security field, and the certificate is self-signed or from an authority that \
            browsers do not have.";
        fix "lockgate: send no such field for this host
nginx: remove add_header Strict-Transport-Security
Node: helmet({ hsts: false })";
        see "RFC 6797 §8.4";
    HSTS_ON_ADDRESS: "hsts-on-address", Note;
        why "Browsers ignore the field when the host is an address. It protects nothing there, and harms nobody.";
        about "The answer has a Strict-Transport-Security field, and the host of the URL is an address.";
        fix "nothing, or use a name in the URL";
        see "RFC 6797 §8.1.1";
    HSTS_OVER_HTTP: "hsts-over-http", Note;
        why "The field only counts over TLS, and must not be sent without it.";
        about "The answer on the plain port has a Strict-Transport-Security field.";
        fix "nginx: move add_header Strict-Transport-Security into the server block that listens with ssl
Node: set it only when req.secure";
        see "RFC 6797 §7.2";
    COOKIE_NOT_SECURE: "cookie-not-secure", Warning;
        why "A browser sends such a cookie over plain HTTP as well, where everyone on the way can take it.";
        about "A Set-Cookie field of the answer has no Secure attribute.";
        fix "lockgate: Set-Cookie: NAME=VALUE; Secure; HttpOnly; SameSite=Lax
nginx: proxy_cookie_flags ~ secure;
Node: cookie: { secure: true } (express-session), res.cookie(name, value, { secure: true })";
        see "RFC 6265 §4.1.2.5";
    HTTP_LINKS: "http-links", Warning;
        why "A client that follows the links leaves HTTPS without noticing, and takes its credentials along.";
        about "Strings of the JSON answer begin with http:// and are neither names of schemas nor addresses of this machine itself.";
        fix "write relative links, or https://; behind a proxy, have the program trust X-Forwarded-Proto \
            (Express: app.set('trust proxy', 'loopback'))";
        see "RFC 9110 §4.2.2";
    OPENAPI_HTTP_SERVER: "openapi-http-server", Warning;
        why "Clients generated from this document use plain HTTP.";
        about "An OpenAPI document of the server (/openapi.json, or the target of a link in its answers) names an http:// URL \
            under servers, or http under schemes.";
        fix "\"servers\": [{ \"url\": \"https://HOST/\" }]";
        see "OpenAPI 3.1 §4.8.5";
    NO_KEEP_ALIVE: "no-keep-alive", Note;
        why "Each request needs a new connection and a new handshake.";
        about "After the first answer the server closed the connection, or said that it would.";
        fix "lockgate: it keeps connections by itself
nginx: keepalive_timeout 65;
Node: server.keepAliveTimeout = 65000";
        see "RFC 9112 §9.3";
    HEAD_WRONG: "head-wrong", Warning;
        why "A client that uses HEAD relies on these fields; a body where none may be makes it lose its place on the connection.";
        about "The answer to HEAD had a body, or another Content-Length than the answer to GET.";
        fix "lockgate: it answers HEAD from the GET handler
Node: end the response without a body when req.method is 'HEAD'; Express does it for app.get";
        see "RFC 9110 §9.3.2";
    HEAD_REFUSED: "head-refused", Note;
        why "HEAD is one of the two methods that every server should support; monitors and caches use it.";
        about "GET succeeded, and HEAD was answered with an error.";
        fix "lockgate: it answers HEAD from the GET handler
Node: Express answers HEAD for app.get";
        see "RFC 9110 §9.1";
    GATEWAY_ERROR: "gateway-error", Note;
        why "The connection may be secure, and the API itself was not there: its program is down, too busy or too slow.";
        about "GET was answered with 502, 503 or 504 (RFC 9110 §15.6), as a server in front of a program does that it cannot \
            reach. All other findings are about that server.";
        fix "lockgate: start the program of --to or --route; the log says why it was not reached, and lockgate check --config FILE \
            asks it
nginx: start the program of proxy_pass";
        see "RFC 9110 §15.6";
    DATE_MISSING: "date-missing", Note;
        why "Caches need it, and clients can use it to notice a wrong clock.";
        about "The answer has no Date field, or one that is not a date.";
        fix "lockgate: it sends it by itself
Node: res.sendDate = true";
        see "RFC 9110 §6.6.1";
    HTTP_SILENT: "http-silent", Note;
        why "A user who types the address without https:// gets no answer. For an API that only programs call this is fine.";
        about "Nothing answers plain HTTP on the port that was tried (--http-port, 80 unless told otherwise).";
        fix "lockgate: lockgate serve … --http 80
nginx: server { listen 80; return 308 https://HOST$request_uri; }";
        see "RFC 9110 §4.2.1";
    HTTP_CONTENT: "http-content", Error;
        why "The same content is available without any protection, and an attacker on the way can make clients use that.";
        about "A plain HTTP request for the same path was answered with success.";
        fix "lockgate: lockgate serve … --http 80 (it redirects only)
nginx: server { listen 80; return 308 https://HOST$request_uri; }
Node: http.createServer((req, res) => res.writeHead(308, { Location: 'https://HOST' + req.url }).end()).listen(80)";
        see "RFC 9110 §4.2.2";
    HTTP_REDIRECT_HOST: "http-redirect-host", Error;
        why "Users of plain HTTP end up at another host than the one they asked for.";
        about "The redirect from plain HTTP leads to another host than that of the URL.";
        fix "lockgate: --public-name HOST
nginx: return 308 https://HOST$request_uri;";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_NAME: "http-redirect-name", Warning;
        why "A user who types one name gets to another, and the first name is never visited over HTTPS: its HSTS is \
            never set, and anyone on the way can answer the next plain request for it.";
        about "The redirect on the plain port leads to another name of this server: a name of its certificate, or the same name with www \
            or without.";
        fix "redirect to HTTPS on the same name first, and from there to the other:
nginx: server { listen 80; return 308 https://HOST$request_uri; }";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_PORT: "http-redirect-port", Error;
        why "The redirect leads to a port on which this server does not listen.";
        about "The redirect from plain HTTP leads to another port than that of the URL. A port that is not 443 must stand in \
            the redirect.";
        fix "lockgate: --public-port PORT
nginx: return 308 https://HOST:PORT$request_uri;";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_SCHEME: "http-redirect-scheme", Error;
        why "Plain HTTP leads to plain HTTP, so a client that starts without https:// never gets to it.";
        about "The redirect on the plain port leads to an http:// URL, or to a relative one, which has the same effect.";
        fix "nginx: return 308 https://HOST$request_uri;
Node: res.writeHead(308, { Location: 'https://HOST' + req.url }).end()";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_LOOP: "http-redirect-loop", Error;
        why "Clients follow the redirects until they give up.";
        about "The redirects on the plain port came back to an earlier address, or did not end \
            within five.";
        fix "redirect to https:// and nowhere else: nginx: return 308 https://HOST$request_uri;";
        see "RFC 9110 §15.4";
    HTTP_FOREIGN_HOST: "http-foreign-host", Warning;
        why "The server redirects to any host that a request names: an open redirector, which phishing and cache poisoning use.";
        about "A plain request whose Host field names another host was answered with a redirect to that host.";
        fix "lockgate: it redirects to the names of its certificate only, or give --public-name HOST
nginx: return 308 https://HOST$request_uri; with the name instead of $host";
        see "CWE-601";
    HTTP_POST_BECOMES_GET: "http-post-becomes-get", Warning;
        why "Clients turn a POST into a GET on this redirect: the request arrives without its body, and seems to succeed.";
        about "A POST without a body, to a path that no server has (/.well-known/lockgate-check-…), was answered with 301, 302 or 303. \
            curl, browsers and most libraries then continue with GET. The check tries it only where GET is redirected, and never on the \
            path of the URL.";
        fix "lockgate: it answers a POST with 308 by itself, and only GET and HEAD with 301
nginx: return 308 https://HOST$request_uri;
Express: res.redirect(308, …)";
        see "RFC 9110 §15.4.9";
    HTTP_CREDENTIALS_ACCEPTED: "http-credentials-accepted", Error;
        why "Everyone on the way can read credentials that are sent in clear, and the client gets no hint of it.";
        about "A plain request with a made-up token (Authorization: Bearer) was answered with success.";
        fix "lockgate: lockgate serve … --http 80 --http-credentials refuse
nginx: server { listen 80; if ($http_authorization) { return 403; } return 308 https://HOST$request_uri; }";
        see "RFC 6750 §5.3";
    HTTP_CREDENTIALS_REDIRECTED: "http-credentials-redirected", Note;
        why "The token has already crossed the network in clear; a redirect hides that, often for years.";
        about "A plain request with a made-up token (Authorization: Bearer) was answered with a redirect. A refusal would show \
            the mistake to the author of the client.";
        fix "lockgate: --http-credentials refuse
nginx: server { listen 80; if ($http_authorization) { return 403; } return 308 https://HOST$request_uri; }";
        see "RFC 6750 §5.3";
}
