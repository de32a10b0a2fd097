//! The findings about the settings of a server before it starts, except those about its certificates.

use super::{rules, Entry};
use crate::finding::{Rule, Severity};

rules! {
    SETTING_UNUSABLE: "setting-unusable", Error;
        why "A server does not start with a setting that it does not know or cannot use.";
        about "The settings were read as lockgate serve reads them: each must be known, have a valid value, and go \
            together with the others.";
        fix "correct or remove the setting; lockgate serve --help lists all settings, and in the file their names have no dashes in front";
        see "lockgate serve --help";
    IDENTITY_UNUSABLE: "identity-unusable", Error;
        why "Without a certificate and its key there is no handshake. The server does not start, or, with \
            other pairs that are good, serves without this one.";
        about "Both files were read and loaded as the server does it. Faults of a readable certificate are \
            findings of their own; a certificate that is expired or not valid yet is served all the same.";
        fix "lockgate cert show CERT --key KEY";
        see "RFC 8446 §4.4.2";
    ISSUER_NOT_IN_FILE: "issuer-not-in-file", Note;
        why "From the certificates that the server sends, a client builds the chain to an authority that it trusts. \
            When an intermediate certificate is missing, the client refuses.";
        about "The file holds only the server's own certificate, this machine does not trust its issuer, and nothing in it \
            says that a public authority has issued it. When clients have the issuer's certificate itself, this is fine; \
            when they have a root above it, the issuer's certificate must be in the file.";
        fix "cat cert.pem intermediate.pem > fullchain.pem, unless clients have the issuer's certificate";
        see "RFC 8446 §4.4.2";
    CLIENT_AUTH_UNUSABLE: "client-auth-unusable", Error;
        why "Without the authorities, or with an unusable revocation list, the server could not verify clients; the \
            server does not start.";
        about "The files of client authorities and revocation lists were read, checked and loaded as the server does it.";
        fix "get the file again from the authority that signs the clients' certificates";
        see "RFC 5280 §5, §6.1";
    CLIENT_CRL_DUE: "client-crl-due", Warning;
        why "An outdated list does not count: from then on all clients of its authority are refused.";
        about "Less than a tenth of the time between thisUpdate and nextUpdate of a revocation list is left.";
        fix "get the current list from its authority, and fetch it regularly";
        see "RFC 5280 §5.1.2.5";
    TICKET_KEYS_UNUSABLE: "ticket-keys-unusable", Error;
        why "Without its keys a server cannot resume the sessions of the others; it does not start.";
        about "The file was read as the server does it: it must have three keys, whole and different from each other.";
        fix "lockgate ticket-keys new FILE (on one server; the others get a copy)";
        see "lockgate::TicketKeys";
    TICKET_KEYS_OLD: "ticket-keys-old", Warning;
        why "Whoever gets a key can read all sessions of TLS 1.2 that it has encrypted; an exchange ends that.";
        about "The file says that its keys were exchanged more than 30 days ago. Daily is usual.";
        fix "lockgate ticket-keys rotate FILE (on one server; the others get a copy)";
        see "RFC 5077 §5.5";
    ANYBODY_IN_FRONT: "anybody-in-front", Warning;
        why "Whoever can connect chooses the address that counts for limits, and that the log has.";
        about "Those whom proxy-from and trust-forwarded name may say who their clients are. A network without a prefix, \
            0.0.0.0/0 or ::/0, has everybody in it.";
        fix "name the addresses of the balancers alone, such as proxy-from = [\"10.1.0.0/28\"]";
        see "HAProxy's proxy-protocol.txt §5; RFC 7239 §8.1";
    TICKET_KEYS_MODE: "ticket-keys-open-to-others", Warning;
        why "Whoever reads the keys can read recorded sessions of TLS 1.2 that were resumed or could be, and can forge sessions: \
            pose as a client with a certificate.";
        about "The mode of the file lets users other than its owner read or write it. lockgate makes it with 0600.";
        fix "let only its owner read it (chmod 600 FILE), or root's file its group (chmod 640 FILE)";
        see "CWE-732";
    STATE_UNUSABLE: "state-unusable", Error;
        why "The device keeps its authority and certificate there; without it the device has another identity after \
            each start, or none.";
        about "The state directory, or the directory above it, does not exist, is not a directory, or this user may not \
            write to it. The check only asked the system; nothing was written.";
        fix "install -d -m 700 -o USER DIR";
        see "lockgate::Device, The state directory";
    STATE_MISSING: "state-missing", Note;
        why "The first start makes the directory, and in it a new authority that clients do not trust yet.";
        about "If there was a state directory before, its disk may not be mounted.";
        fix "lockgate cert ca --state DIR";
        see "lockgate::Device, The state directory";
    STATE_OPEN: "state-open-to-others", Warning;
        why "A user who can write there can replace the device's keys; a user who can read it sees which files there are.";
        about "The mode of the state directory lets users other than its owner read or write it. lockgate makes it with 0700.";
        fix "chmod 700 DIR";
        see "lockgate::Device, The state directory";
    DEVICE_CA_UNUSABLE: "device-ca-unusable", Error;
        why "The authority is never replaced automatically, because clients trust it; the server does not start until a person \
            decides.";
        about "The files in the state directory were read as the server does it: the authority and its key must be whole, \
            belong together, be valid now, and be allowed to sign for all given names.";
        fix "restore ca.pem and ca-key.pem from a backup, or move both away for a new authority";
        see "lockgate::Device, The CA";
    PORT_TAKEN: "port-taken", Error;
        why "Two programs cannot have one port; the server does not start.";
        about "The port was opened and closed at once. When the program on that port shows one of these certificates, the \
            finding is already-served instead.";
        fix "ss -ltnp (shows the program: stop it, or choose another port)";
        see "bind(2), EADDRINUSE";
    ALREADY_SERVED: "already-served", Note;
        why "The port is in use because a server with these certificates runs already; another one with the same settings would not start.";
        about "The port is taken, and the program on it shows one of these certificates. The check then assumes that the redirect's port \
            belongs to the same server.";
        fix "nothing, or stop the running server before another one starts";
        see "bind(2), EADDRINUSE";
    PORT_NOT_PERMITTED: "port-not-permitted", Error;
        why "Ports below 1024 need a permission that normal users do not have; the server does not start.";
        about "The port was opened and closed at once, as the user who runs the check. A service that is started as another \
            user, or with AmbientCapabilities of systemd, may have the permission.";
        fix "setcap cap_net_bind_service=+ep $(command -v lockgate) (as root), or choose a port from 1024 up";
        see "capabilities(7), CAP_NET_BIND_SERVICE";
    ADDRESS_NOT_OURS: "address-not-ours", Error;
        why "A server can only listen on addresses that this machine has now.";
        about "The address was opened and closed at once, and the system does not have it. An address that comes later, from DHCP, may \
            be missing while the machine starts.";
        fix "use [::] or 0.0.0.0 for all addresses, or one of: ip address";
        see "bind(2), EADDRNOTAVAIL";
    BACKEND_DOWN: "backend-down", Warning;
        why "Requests that are passed on to it get 502, for as long as nobody is there.";
        about "A connection to it was opened as the server would open one. It is a warning, because the program may start later.";
        fix "start the program, or correct its place
ss -ltnpx (shows where programs listen)";
        see "connect(2)";
    BACKEND_FORBIDDEN: "backend-forbidden", Error;
        why "Requests that are passed on to it get 502: this user may not open its socket.";
        about "To connect to a socket in the file system, a user needs the right to write to it, and to pass all folders \
            above it. The check must run as the user that the server runs as.";
        fix "chgrp GROUP SOCKET; chmod 660 SOCKET (with a group that the server's user is in)";
        see "unix(7)";
    BACKEND_SILENT: "backend-silent", Warning;
        why "Clients wait, and get 504 in the end.";
        about "HEAD / was sent, over HTTPS behind a handshake, which is safe (RFC 9110 §9.2.1), and no answer came within 5 seconds.";
        fix "look what the program waits for; answer-timeout says how long requests wait for it";
        see "RFC 9110 §15.6.5";
    BACKEND_SPEAKS_TLS: "backend-speaks-tls", Error;
        why "It is asked in plain HTTP, and answers nothing that can be passed on.";
        about "A ClientHello was answered by TLS, and HEAD / in plain HTTP by nothing but an error.";
        fix "to = \"http://HOST:PORT\" with the port of its plain HTTP
to = \"https://HOST:PORT\"";
        see "RFC 8446 §5.1";
    BACKEND_SPEAKS_PLAIN: "backend-speaks-plain", Error;
        why "It is to be reached over TLS, and no handshake succeeds.";
        about "A handshake was answered by something else than TLS, or by the end of the connection.";
        fix "to = \"https://HOST:PORT\" with the port of its TLS
to = \"http://HOST:PORT\"";
        see "RFC 8446 §5.1";
    BACKEND_NAME: "backend-wrong-name", Error;
        why "A backend whose certificate is for another host gets nothing of a request; clients get 502.";
        about "The handshake was the one that the server makes. No name in subjectAltName is the host of the URL in to; the common \
            name does not count.";
        fix "name the backend in to as its certificate does, or give it a certificate with that name";
        see "RFC 9525 §6";
    BACKEND_ISSUER: "backend-unknown-issuer", Error;
        why "A backend whose certificate no known authority has signed gets nothing of a request; clients get 502.";
        about "The handshake was the one that the server makes. No authority in the file of backend-ca has signed the certificate, \
            or the backend does not send the intermediate certificates in between. The authorities of this machine do not count.";
        fix "backend-ca = \"FILE\" with the authority of the backend's certificate; let the backend send its whole chain";
        see "RFC 5280 §6.1";
    BACKEND_DATES: "backend-certificate-dates", Error;
        why "A backend whose certificate has expired or is not valid yet gets nothing of a request; clients get 502.";
        about "The handshake was the one that the server makes, and the dates were compared with this machine's clock.";
        fix "renew the backend's certificate, or set the clock that is wrong";
        see "RFC 5280 §4.1.2.5";
    BACKEND_CLIENT_CERT: "backend-wants-certificate", Error;
        why "A backend that demands a client's certificate, and does not get a right one, answers no request.";
        about "The backend has asked for a certificate in the handshake, and then refused by an alert, by the end of the connection, \
            or, when it got none, by 400 or 403.";
        fix "backend-cert = \"FILE\"\nbackend-key = \"FILE\" with a pair that the backend trusts";
        see "RFC 8446 §4.3.2, §4.4.2.4";
    BACKEND_TLS_FAILS: "backend-tls-fails", Error;
        why "Without a handshake the backend gets nothing of a request; clients get 502.";
        about "The handshake was the one that the server makes, with TLS 1.3 or 1.2, and it has failed for another reason than \
            those of the other findings.";
        fix "look into the backend's own log";
        see "RFC 8446 §6.2";
    BACKEND_NOT_HTTP: "backend-not-http", Error;
        why "Requests that are passed on to it get 502.";
        about "HEAD / was answered by something that does not begin with HTTP/1, by a head that is malformed or has no end, or by \
            the end of the connection.";
        fix "give the port at which the program speaks HTTP/1.1";
        see "RFC 9112 §4";
    LISTENER_FAILS: "listener-fails", Error;
        why "A server that cannot listen cannot serve.";
        about "The address was opened and closed at once, and the system refused for another reason than those of the other \
            findings.";
        fix "give an address with a port, such as 127.0.0.1:8443 or [::]:8443";
        see "bind(2)";
    ONE_PORT_FOR_BOTH: "one-port-for-both", Error;
        why "A listener cannot tell HTTPS from plain HTTP before the first byte, so each needs a port of its own.";
        about "The addresses of HTTPS and of the redirect have the same port, and one of them includes the other.";
        fix "https = \"[::]:443\"
http = \"[::]:80\"";
        see "RFC 9110 §4.2";
    CLOCK_IMPLAUSIBLE: "clock-implausible", Warning;
        why "Validity is judged by the clock: a program with a wrong clock refuses good certificates and accepts expired ones.";
        about "This machine's clock is before the day when this program was built, so it is wrong. The server starts, \
            and neither it nor this check says whether certificates are valid now.";
        fix "timedatectl set-ntp true (or: date -s, hwclock --systohc)";
        see "RFC 5280 §4.1.2.5";
    LIMIT_OUT_OF_RANGE: "limit-out-of-range", Error;
        why "A server does not start with a limit out of its range.";
        about "Each limit has a minimum and a maximum; the finding names them.";
        fix "give a value within the range, or leave the limit out for its default";
        see "lockgate::Limits";
    CONNECTIONS_CUT_DOWN: "connections-cut-down", Warning;
        why "Fewer clients can be connected at a time than the setting says; longest-idle connections are closed earlier.";
        about "Each connection is an open file. The hard limit on open files (RLIMIT_NOFILE), less a part for the \
            redirect and for other files, is lower than the limit connections. A request that is passed on to a backend takes \
            one more file, and gets 503 without one. A service may have another limit than the shell that the check runs in.";
        fix "systemd: LimitNOFILE=16384
or lower the limit: connections = N";
        see "getrlimit(2), RLIMIT_NOFILE";
    MEMORY_SHORT: "memory-short", Warning;
        why "With all buffers full the server would take more memory than the machine has, and the system would end it, or \
            another program.";
        about "The ceiling of lockgate's memory follows from its limits (SECURITY.md, Memory): 8 MiB, 176 KiB a worker, 31 KiB a \
            connection and 72 KiB more while it is busy, and body_memory_bytes; for each request at a server behind 74 KiB (134 over \
            HTTPS), and 32 MiB for the bodies of each route to such servers. It is compared with this machine's memory, or \
            the part of it that this program may use (cgroup).";
        fix "connections = N\nand for a device with 64 MiB of memory: the limits in the documentation, lockgate::costs";
        see "SECURITY.md, Memory";
    REDIRECT_OFF: "redirect-off", Note;
        why "A user who types a name without https:// gets no answer.";
        about "No port answers plain HTTP. So nothing is sent in clear, and programs with an https:// address \
            miss nothing.";
        fix "http = \"[::]:80\"";
        see "RFC 9110 §4.2.2";
    REDIRECT_PORT: "redirect-port", Note;
        why "A user who types a name without https:// gets to port 80, where there is no redirect.";
        about "The redirect is on another port than 80. If port 80 is forwarded to it, this is fine.";
        fix "http = \"[::]:80\"";
        see "RFC 9110 §4.2.1";
    ACME_TERMS: "acme-terms-not-accepted", Error;
        why "An authority gives no account, and so no certificate, without agreement to its terms; the device identity is \
            served until then.";
        about "Nothing says that the terms are accepted, and the state directory holds no account with this authority yet.";
        fix "accept-terms = true (once you have read them; lockgate cert obtain says where they are)";
        see "RFC 8555 §7.3.3";
    ACME_UNANSWERED: "acme-challenge-unanswered", Error;
        why "The authority would ask for a proof that this server cannot give; the server does not start.";
        about "For http-01 the authority connects to the plain port, so the redirect must be on; for tls-alpn-01 to the HTTPS port, \
            as a client without a certificate.";
        fix "http = \"[::]:80\"
or, without plain HTTP: challenge = \"tls-alpn-01\"";
        see "RFC 8555 §8.3, RFC 8737 §3";
}
