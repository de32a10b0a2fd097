//! What can be wrong with HTTP, over TLS and without.

use super::{rules, Entry};
use crate::finding::{Rule, Severity};

rules! {
    NO_ANSWER: "no-answer", Error;
        why "A connection that is secure and says nothing is of no use to a client.";
        about "The handshake succeeded, and a GET request for the URL was not answered in HTTP/1.1.";
        fix "look into the server's log; a client certificate that is missing looks like this too";
        see "RFC 9110 §9.3.1";
    HTTPS_REDIRECTS_TO_HTTP: "https-redirects-to-http", Error;
        why "Clients that came securely are sent away to where everyone can read along.";
        about "The answer over HTTPS is a redirect to an http:// URL. Together with a redirect to HTTPS it is a loop as well.";
        fix "redirect to a relative address, or to https://; behind a proxy, have the program trust X-Forwarded-Proto \
            (Express: app.set('trust proxy', 'loopback'))";
        see "RFC 9110 §15.4";
    HTTPS_REDIRECT_LOOP: "https-redirect-loop", Error;
        why "Clients follow the redirects until they give up.";
        about "Redirects of the URL were followed over HTTPS, as far as they lead to this server, and came back to an address \
            where they had been, or did not end within five. Where one of them sets a cookie, nothing is said: a client that \
            sends it may go another way.";
        fix "answer the URL itself; behind a proxy that speaks HTTPS, have the program trust X-Forwarded-Proto, so that it does \
            not redirect to HTTPS once more (Express: app.set('trust proxy', 'loopback'))";
        see "RFC 9110 §15.4";
    CONTENT_CODING_UNASKED: "content-coding-unasked", Warning;
        why "A client that has not said that it can decode a body gets bytes that it cannot read.";
        about "The request had no Accept-Encoding field, as those of many small clients, and the answer has a Content-Encoding. \
            The standard permits it; curl without --compressed, Python's urllib and most clients in firmware do not decode.";
        fix "nginx: gzip on; compresses for clients that ask only; remove gzip_static always;
Node: compress when req.headers['accept-encoding'] names the coding; Express: the module compression does so
lockgate: send no Content-Encoding of your own";
        see "RFC 9110 §12.5.3";
    HSTS_MISSING: "hsts-missing", Warning;
        why "A browser that is sent to http:// once can be kept there by whoever is in between.";
        about "The certificate comes from a public authority, and the answer has no Strict-Transport-Security field. Programs \
            other than browsers do not heed that field.";
        fix "lockgate: Response::with_header(\"strict-transport-security\", \"max-age=31536000\")
nginx: add_header Strict-Transport-Security max-age=31536000 always;
Node: res.setHeader('Strict-Transport-Security', 'max-age=31536000')";
        see "RFC 6797 §6.1";
    HSTS_INVALID: "hsts-invalid", Warning;
        why "Browsers pass over a field that they cannot read, so there is no protection.";
        about "The Strict-Transport-Security field has no max-age, or one that is no number; or there are several such fields \
            that differ.";
        fix "lockgate: Response::with_header(\"strict-transport-security\", \"max-age=31536000\")
nginx: add_header Strict-Transport-Security max-age=31536000 always;
Node: res.setHeader('Strict-Transport-Security', 'max-age=31536000')";
        see "RFC 6797 §6.1";
    HSTS_LOCKS_OUT: "hsts-locks-out", Warning;
        why "With HSTS a browser offers no way past a certificate that it does not trust: users are locked out of their device.";
        about "The answer has a Strict-Transport-Security field, and the certificate is self-signed or from an authority that \
            browsers do not have.";
        fix "lockgate: send no such field for this host
nginx: remove add_header Strict-Transport-Security
Node: helmet({ hsts: false })";
        see "RFC 6797 §8.4";
    HSTS_ON_ADDRESS: "hsts-on-address", Note;
        why "Browsers ignore the field when the host is an address. It protects nothing there, and harms nobody.";
        about "The answer has a Strict-Transport-Security field, and the host of the URL is an address.";
        fix "nothing, or ask the server by a name";
        see "RFC 6797 §8.1.1";
    HSTS_OVER_HTTP: "hsts-over-http", Note;
        why "The field counts over TLS only, and must not be sent without.";
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
        about "Strings of the JSON answer begin with http:// and are neither names of schemas nor of this machine itself.";
        fix "write relative links, or https://; behind a proxy, have the program trust X-Forwarded-Proto \
            (Express: app.set('trust proxy', 'loopback'))";
        see "RFC 9110 §4.2.2";
    OPENAPI_HTTP_SERVER: "openapi-http-server", Warning;
        why "Clients that are made from this document speak plain HTTP.";
        about "An OpenAPI document that the server offers (/openapi.json, or where its answers link to) names an http:// URL \
            under servers, or http under schemes.";
        fix "\"servers\": [{ \"url\": \"https://HOST/\" }]";
        see "OpenAPI 3.1 §4.8.5";
    NO_KEEP_ALIVE: "no-keep-alive", Note;
        why "Each request costs a new connection and a new handshake.";
        about "After the first answer the server closed the connection, or said that it would.";
        fix "lockgate: it keeps connections by itself
nginx: keepalive_timeout 65;
Node: server.keepAliveTimeout = 65000";
        see "RFC 9112 §9.3";
    HEAD_WRONG: "head-wrong", Warning;
        why "A client that asks with HEAD takes what it is told for the truth, or loses its place on the connection.";
        about "The answer to HEAD had a body, or another Content-Length than the answer to GET.";
        fix "lockgate: it answers HEAD from the GET handler
Node: end the response without a body when req.method is 'HEAD'; Express does it for app.get";
        see "RFC 9110 §9.3.2";
    HEAD_REFUSED: "head-refused", Note;
        why "HEAD is one of the two methods that every server should know; monitors and caches use it.";
        about "GET succeeded, and HEAD was answered with an error.";
        fix "lockgate: it answers HEAD from the GET handler
Node: Express answers HEAD for app.get";
        see "RFC 9110 §9.1";
    DATE_MISSING: "date-missing", Note;
        why "Caches need it, and clients can find out by it that a clock is wrong.";
        about "The answer has no Date field, or one that is no date.";
        fix "lockgate: it sends it by itself
Node: res.sendDate = true";
        see "RFC 9110 §6.6.1";
    HTTP_SILENT: "http-silent", Note;
        why "Who types the address without https:// gets no answer. For an API that only programs call that is as good as any.";
        about "Nothing answers plain HTTP on the port that was tried (--http-port, 80 unless told otherwise).";
        fix "lockgate: lockgate serve … --http 80
nginx: server { listen 80; return 308 https://HOST$request_uri; }";
        see "RFC 9110 §4.2.1";
    HTTP_CONTENT: "http-content", Error;
        why "The same contents are to be had without any protection, and whoever is in between sees to it that they are.";
        about "A plain HTTP request for the same path was answered with success.";
        fix "lockgate: lockgate serve … --http 80 (it redirects only)
nginx: server { listen 80; return 308 https://HOST$request_uri; }
Node: http.createServer((req, res) => res.writeHead(308, { Location: 'https://HOST' + req.url }).end()).listen(80)";
        see "RFC 9110 §4.2.2";
    HTTP_REDIRECT_HOST: "http-redirect-host", Error;
        why "Users of plain HTTP end up at another host than the one that they wanted.";
        about "The redirect from plain HTTP leads to another host than that of the URL.";
        fix "lockgate: --public-name HOST
nginx: return 308 https://HOST$request_uri;";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_NAME: "http-redirect-name", Warning;
        why "Who types one name comes to another, and the first is never met over HTTPS: what browsers keep for it (HSTS) is \
            never set, and the next plain request for it can be answered by anyone.";
        about "The redirect on the plain port leads to another name of this server: one of its certificate, or the same with www \
            or without.";
        fix "redirect to HTTPS on the same name first, and from there to the other:
nginx: server { listen 80; return 308 https://HOST$request_uri; }";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_PORT: "http-redirect-port", Error;
        why "The redirect leads to a port where this server is not.";
        about "The redirect from plain HTTP leads to another port than that of the URL. A port that is not 443 must stand in \
            the redirect.";
        fix "lockgate: --public-port PORT
nginx: return 308 https://HOST:PORT$request_uri;";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_SCHEME: "http-redirect-scheme", Error;
        why "Plain HTTP leads to plain HTTP; who comes without https:// stays without.";
        about "The redirect on the plain port leads to an http:// URL, or to a relative one, which is the same.";
        fix "nginx: return 308 https://HOST$request_uri;
Node: res.writeHead(308, { Location: 'https://HOST' + req.url }).end()";
        see "RFC 9110 §15.4";
    HTTP_REDIRECT_LOOP: "http-redirect-loop", Error;
        why "Clients follow the redirects until they give up.";
        about "Redirects were followed on the plain port, and came back to an address where they had been, or did not end \
            within five.";
        fix "redirect to https:// and nowhere else: nginx: return 308 https://HOST$request_uri;";
        see "RFC 9110 §15.4";
    HTTP_FOREIGN_HOST: "http-foreign-host", Warning;
        why "The server sends users wherever a request says: an open redirector, which phishing and cache poisoning use.";
        about "A plain request whose Host field names another host was answered with a redirect to that host.";
        fix "lockgate: it redirects to the names of its certificate only, or give --public-name HOST
nginx: return 308 https://HOST$request_uri; with the name instead of $host";
        see "CWE-601";
    HTTP_POST_BECOMES_GET: "http-post-becomes-get", Warning;
        why "Clients turn a POST into a GET on this redirect: the request arrives without its body, and seems to succeed.";
        about "A POST without a body, to a path that nobody has (/.well-known/lockgate-check-…), was answered with 301, 302 or 303. \
            curl, browsers and most libraries then go on with GET. It is tried only where GET is redirected, and never on the \
            path of the URL.";
        fix "lockgate: it answers a POST with 308 by itself, and only GET and HEAD with 301
nginx: return 308 https://HOST$request_uri;
Express: res.redirect(308, …)";
        see "RFC 9110 §15.4.9";
    HTTP_CREDENTIALS_ACCEPTED: "http-credentials-accepted", Error;
        why "Credentials that were sent in clear are known to everyone on the way, and the client is not told.";
        about "A plain request with a made-up token (Authorization: Bearer) was answered with success.";
        fix "lockgate: lockgate serve … --http 80 --http-credentials refuse
nginx: server { listen 80; if ($http_authorization) { return 403; } return 308 https://HOST$request_uri; }";
        see "RFC 6750 §5.3";
    HTTP_CREDENTIALS_REDIRECTED: "http-credentials-redirected", Note;
        why "The token has been on the wire in clear already; a redirect hides that, often for years.";
        about "A plain request with a made-up token (Authorization: Bearer) was answered with a redirect. A refusal would show \
            the mistake to whoever wrote the client.";
        fix "lockgate: --http-credentials refuse
nginx: server { listen 80; if ($http_authorization) { return 403; } return 308 https://HOST$request_uri; }";
        see "RFC 6750 §5.3";
}
