//! The findings about TLS itself.

use super::{rules, Entry};
use crate::finding::{Rule, Severity};

rules! {
    NO_TLS: "no-tls", Error;
        why "Whatever is sent to this port can be read and changed by everyone on the way.";
        about "A TLS hello was sent to the port of the URL, and what came back was no TLS. Most often plain HTTP is served there: \
            the server was started without its certificate, or the port is that of its plain side.";
        fix "lockgate: lockgate serve --cert fullchain.pem --key privkey.pem --https 8443
nginx: listen 8443 ssl;
Node: https.createServer({ cert, key }, app).listen(8443)";
        see "RFC 9110 §4.2.2";
    NOTHING_ANSWERED: "nothing-answered", Error;
        why "A client waits and gives up. The check cannot say whether the port speaks TLS at all.";
        about "A connection was accepted, and a TLS hello was not answered, or only half: the connection stayed silent, or was \
            closed or reset. It is waited for once, and nothing else is asked then. Reasons are a server that is stuck or has \
            no place for a further client, a filter on the way, and one behind a load balancer that expects the header of the \
            PROXY protocol first.";
        fix "check whether the server hangs or is full: its log, and ss -tn sport = :8443
behind a load balancer: check the balancer's address, or nginx: listen 8443 ssl; without proxy_protocol
else look for a filter on the way to the server";
        see "RFC 8446 §4.1.1";
    HANDSHAKE_FAILS: "handshake-fails", Error;
        why "A client that offers the same as this check cannot connect at all.";
        about "The check connects as a client with TLS 1.3 and TLS 1.2, ephemeral keys and authenticated encryption, and \
            HTTP/1.1, as current clients of APIs do. Possible reasons: the server has only older protocols or ciphers, accepts \
            none of the offered groups for the key exchange, does not know the requested name, or \
            speaks only HTTP/2. The alert and further hellos show the reason, and the remedy fits that reason.";
        fix "lockgate: it offers TLS 1.3 and 1.2 by itself
nginx: ssl_protocols TLSv1.2 TLSv1.3;
Node: https.createServer({ minVersion: 'TLSv1.2', … })";
        see "RFC 9325 §3.1";
    SSL_3: "ssl-3", Error;
        why "SSL 3.0 is broken (POODLE): an attacker who can make a client repeat a request can decrypt it.";
        about "A hello of SSL 3.0 was answered with a whole flight of the handshake, so the server would really speak it.";
        fix "nginx: ssl_protocols TLSv1.2 TLSv1.3;
Apache: SSLProtocol -all +TLSv1.2 +TLSv1.3
(lockgate and Node cannot speak it)";
        see "RFC 7568";
    TLS_1_0: "tls-1-0", Warning;
        why "TLS 1.0 must not be used any more: it signs with SHA-1 and MD5, and audits (PCI DSS among them) fail with it.";
        about "A hello of TLS 1.0 was answered with a whole flight of the handshake, without an alert. The check builds the hello \
            itself, byte by byte, because current libraries cannot speak TLS 1.0.";
        fix "nginx: ssl_protocols TLSv1.2 TLSv1.3;
Node: https.createServer({ minVersion: 'TLSv1.2', … })
Apache: SSLProtocol -all +TLSv1.2 +TLSv1.3
(lockgate cannot speak it)";
        see "RFC 8996";
    TLS_1_1: "tls-1-1", Warning;
        why "TLS 1.1 must not be used any more: it signs with SHA-1 and MD5, and audits (PCI DSS among them) fail with it.";
        about "A hello of TLS 1.1 was answered with a whole flight of the handshake, without an alert. The check builds the hello \
            itself, byte by byte, because current libraries cannot speak TLS 1.1.";
        fix "nginx: ssl_protocols TLSv1.2 TLSv1.3;
Node: https.createServer({ minVersion: 'TLSv1.2', … })
Apache: SSLProtocol -all +TLSv1.2 +TLSv1.3
(lockgate cannot speak it)";
        see "RFC 8996";
    NO_TLS_1_3: "no-tls-1-3", Note;
        why "TLS 1.3 is a round trip faster, hides the certificate, and leaves no weak choices.";
        about "A hello that offers TLS 1.3 alone was refused. TLS 1.2 with the right ciphers is secure as well.";
        fix "lockgate: it offers TLS 1.3 by itself
nginx (from 1.13 with OpenSSL 1.1.1): ssl_protocols TLSv1.2 TLSv1.3;
Node (from 12): leave out maxVersion";
        see "RFC 9325 §3.1.1";
    RC4_CIPHER: "rc4-cipher", Error;
        why "RC4 is broken: cookies and passwords that are sent often can be recovered from recorded traffic.";
        about "A hello that offers nothing but RC4 was accepted.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "RFC 7465";
    DES_CIPHER: "des-cipher", Warning;
        why "Blocks of 64 bits repeat after some gigabytes of one connection, and then reveal their contents (SWEET32).";
        about "A hello that offers nothing but 3DES and DES was accepted.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "CVE-2016-2183";
    NULL_CIPHER: "null-cipher", Error;
        why "With these ciphers nothing is encrypted at all.";
        about "A hello that offers nothing but NULL ciphers was accepted.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "RFC 9325 §4.1";
    EXPORT_CIPHER: "export-cipher", Error;
        why "Keys of 40 to 56 bits are found within hours on one machine (FREAK, Logjam).";
        about "A hello of TLS 1.0 that offers nothing but export ciphers was accepted.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "RFC 9325 §4.1";
    ANONYMOUS_CIPHER: "anonymous-cipher", Error;
        why "Without a certificate in the handshake, anyone on the way can pose as the server.";
        about "A hello that offers nothing but anonymous key exchange was accepted.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "RFC 9325 §4.1";
    NO_FORWARD_SECRECY: "no-forward-secrecy", Warning;
        why "An attacker who gets the private key one day can read all earlier recorded traffic.";
        about "A hello that offers nothing but RSA key exchange was accepted. With it the session's key is encrypted with the \
            certificate's key. Clients that prefer it, or that an attacker forces to use it, get no forward secrecy.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "RFC 9325 §4.1";
    CBC_CIPHER: "cbc-cipher", Note;
        why "CBC in TLS has been attacked again and again (BEAST, Lucky 13); it is safe only in code that runs in constant time.";
        about "A hello that offers nothing but AES in CBC mode with ephemeral keys was accepted. Every current client offers \
            better ones, so only clients from before 2014 need these.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "RFC 9325 §4.2";
    WEAK_DH: "weak-dh", Warning;
        why "Diffie-Hellman over a prime below 2048 bits can be broken after much computing in advance (Logjam).";
        about "The server chose an ephemeral Diffie-Hellman cipher in one of the handshakes, with a prime of that length.";
        fix "nginx: ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20; (or ssl_dhparam with 2048 bits)
Node: https.createServer({ ciphers: 'ECDHE+AESGCM:ECDHE+CHACHA20', … })
(lockgate has no such cipher)";
        see "RFC 9325 §4.1";
    NAME_NEEDED: "name-needed", Note;
        why "A client that connects by address, as people do with devices, sends no name and gets no answer.";
        about "A handshake without a server name (SNI) was refused; a handshake with the name succeeds.";
        fix "lockgate: it serves its first certificate
nginx: listen 8443 ssl default_server; in one server block with a certificate (and no ssl_reject_handshake)";
        see "RFC 6066 §3";
    OTHER_CERTIFICATE_WITHOUT_NAME: "other-certificate-without-name", Note;
        why "Clients that send no name get a certificate that is not for the name, and refuse it.";
        about "A handshake without a server name (SNI) was answered with another certificate than one with the name.";
        fix "lockgate: put the pair for clients without a name first: --cert first.pem --key first.key
nginx: make the block with this name the default_server";
        see "RFC 6066 §3";
    NO_APPLICATION_PROTOCOL: "no-alpn", Note;
        why "Without ALPN a client cannot be sure which protocol the server speaks, which cross-protocol attacks (ALPACA) use.";
        about "The client offered http/1.1 (ALPN), and the server chose nothing.";
        fix "lockgate: it answers by itself
nginx: it answers by itself from 1.21.4 on
Node: it answers by itself";
        see "RFC 7301 §3.2";
    CLIENT_CERTIFICATE_ASKED: "client-certificate-asked", Note;
        why "Browsers may show a dialogue to choose a certificate, and clients without one may be turned away.";
        about "The server asked for a client certificate in the handshake. That is right where clients are known by their \
            certificates, and a surprise elsewhere. The rest of the server was checked without a certificate.";
        fix "nothing, if clients are meant to have certificates; else
nginx: ssl_verify_client off;
Node: https.createServer({ requestCert: false, … })";
        see "RFC 8446 §4.3.2";
    CLIENT_CERTIFICATE_REQUIRED: "client-certificate-required", Note;
        why "The server answers only clients that have a certificate.";
        about "The server asked for a client certificate in the handshake, none was given to this check, and the server ended \
            the connection, or answered 400 or 403. Everything that can be seen without an answer was checked; the rest needs a \
            certificate that the server accepts.";
        fix "lockgate check URL --cert client.pem --key client-key.pem";
        see "RFC 8446 §4.3.2";
    CLIENT_CERTIFICATE_REFUSED: "client-certificate-refused", Error;
        why "The server answers only clients whose certificate it accepts.";
        about "The server asked for a client certificate, and did not accept that of --cert and --key: it ended \
            the connection, or answered 400 and named the certificate. Possible reasons: an authority that the server does not \
            know, a certificate that is expired, revoked, or not for clients (clientAuth), or an intermediate certificate that is \
            missing in the file.";
        fix "lockgate: lockgate serve … --client-ca FILE, with the authority that has issued the client's certificate
nginx: ssl_client_certificate FILE; with the same
and check the client's certificate: lockgate cert show client.pem";
        see "RFC 8446 §4.4.2.4";
    NO_RESUMPTION: "no-resumption", Note;
        why "Each new connection needs a full handshake, which is most of the work of a small device.";
        about "A second connection offered the session of the first, and the server started a new one.";
        fix "lockgate: it resumes by itself
nginx: ssl_session_cache shared:tls:1m; ssl_session_tickets on;
Node: it resumes by itself; share ticketKeys when several processes serve";
        see "RFC 8446 §2.2";
    NO_POST_QUANTUM: "no-post-quantum", Note;
        why "Traffic that is recorded today may be decrypted once there are large quantum computers. This matters for long-lived secrets.";
        about "A TLS 1.3 hello that offers X25519MLKEM768 alone was refused. Chrome, Firefox and Apple's clients prefer that \
            group since 2024 and 2025.";
        fix "nginx: with OpenSSL 3.5 or later it is offered by itself
Node: from 24.7 on
lockgate: build it with the feature post-quantum";
        see "draft-ietf-tls-ecdhe-mlkem";
    PLAIN_HTTP_UNREADABLE: "plain-http-unreadable", Note;
        why "A user who types http:// before the address of an HTTPS port sees a broken connection without an explanation.";
        about "A plain HTTP request was sent to the TLS port, and no readable answer arrived.";
        fix "lockgate: it answers 400 with the right address by itself
nginx: it answers 400 by itself
Node: it cannot; put the right address into the documentation";
        see "RFC 9110 §15.5.1";
}
