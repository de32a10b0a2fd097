//! What can be wrong with what is to be served, beside its certificates.

use super::{rules, Entry};
use crate::finding::{Rule, Severity};

rules! {
    SETTING_UNUSABLE: "setting-unusable", Error;
        why "A server does not start with a setting that it does not know or cannot take.";
        about "The settings were read as lockgate serve reads them: each must be known, have a value that it accepts, and go \
            together with the others.";
        fix "correct or remove the setting; lockgate serve --help lists all there are, which stand in the file without dashes";
        see "lockgate serve --help";
    IDENTITY_UNUSABLE: "identity-unusable", Error;
        why "Without a certificate and the key that belongs to it there is no handshake. The server does not start, or, with \
            other pairs that are good, goes on without this one.";
        about "Both files were read and loaded as the server does it. What is wrong with a certificate that can be read is told \
            by findings of its own; one that is over, or not valid yet, is served all the same.";
        fix "lockgate cert show CERT --key KEY";
        see "RFC 8446 §4.4.2";
    ISSUER_NOT_IN_FILE: "issuer-not-in-file", Note;
        why "A client builds the way from the server's certificate to an authority that it trusts from what the server sends. \
            Where an intermediate certificate is missing, it refuses.";
        about "The file holds the server's own certificate alone, its issuer is not trusted by this machine, and nothing in it \
            says that a public authority has issued it. When clients are given the issuer's certificate itself, all is well; \
            when they are given a root above it, the issuer's certificate must be in the file.";
        fix "cat cert.pem intermediate.pem > fullchain.pem, unless clients are given the issuer's certificate";
        see "RFC 8446 §4.4.2";
    CLIENT_AUTH_UNUSABLE: "client-auth-unusable", Error;
        why "Without the authorities, or with a revocation list that cannot be used, no client could be told from another; the \
            server does not start.";
        about "The files of client authorities and revocation lists were read, checked and loaded as the server does it.";
        fix "get the file again from the authority that signs the clients' certificates";
        see "RFC 5280 §5, §6.1";
    CLIENT_CRL_DUE: "client-crl-due", Warning;
        why "A list that is out of date counts for nothing: all clients of its authority are refused from then on.";
        about "Less than a tenth of the time between thisUpdate and nextUpdate of a revocation list is left.";
        fix "get the current list from its authority, and see that it is fetched regularly";
        see "RFC 5280 §5.1.2.5";
    STATE_UNUSABLE: "state-unusable", Error;
        why "The device's authority and certificate are made and kept there; without it the device has another identity after \
            each start, or none.";
        about "The state directory, or the one that it is to be made in, is not there, is no directory, or this user may not \
            write to it. It was only asked; nothing was written.";
        fix "install -d -m 700 -o USER DIR";
        see "lockgate::Device, The state directory";
    STATE_MISSING: "state-missing", Note;
        why "It is made on the first start, and an authority in it that clients have not been told to trust yet.";
        about "If there was a state directory before, its disk may not be mounted.";
        fix "lockgate cert ca --state DIR";
        see "lockgate::Device, The state directory";
    STATE_OPEN: "state-open-to-others", Warning;
        why "Who can write there can exchange the device's keys; who can read it sees which there are.";
        about "The mode of the state directory lets others than its owner read or write it. lockgate makes it with 0700.";
        fix "chmod 700 DIR";
        see "lockgate::Device, The state directory";
    DEVICE_CA_UNUSABLE: "device-ca-unusable", Error;
        why "The authority is never replaced by itself, since clients trust it; the server does not start until somebody \
            decides.";
        about "The files in the state directory were read as the server does it: the authority and its key must be whole, \
            belong together, be in their lifetime, and vouch for all names that are given.";
        fix "bring ca.pem and ca-key.pem back from a backup, or move both away for a new authority";
        see "lockgate::Device, The CA";
    PORT_TAKEN: "port-taken", Error;
        why "Two programs cannot have one port; the server does not start.";
        about "The port was opened and closed at once. When what listens there already shows one of these certificates, the \
            finding is already-served instead.";
        fix "ss -ltnp (who has it: stop that, or choose another port)";
        see "bind(2), EADDRINUSE";
    ALREADY_SERVED: "already-served", Note;
        why "The port is not free because this is served already; another server with the same settings would not start.";
        about "The port is taken, and what listens there shows one of these certificates. The redirect's port is then taken to \
            be of the same server.";
        fix "nothing, or stop the running server before another one starts";
        see "bind(2), EADDRINUSE";
    PORT_NOT_PERMITTED: "port-not-permitted", Error;
        why "Ports below 1024 need a permission that users do not have; the server does not start.";
        about "The port was opened and closed at once, as the user who runs the check. A service that is started as another \
            user, or with AmbientCapabilities of systemd, may be permitted what this user is not.";
        fix "setcap cap_net_bind_service=+ep $(command -v lockgate) (as root), or choose a port from 1024 up";
        see "capabilities(7), CAP_NET_BIND_SERVICE";
    ADDRESS_NOT_OURS: "address-not-ours", Error;
        why "A server can only listen on addresses that this machine has now.";
        about "The address was opened and closed at once, and the system does not have it. One that comes later, from DHCP, is \
            not there while the machine starts.";
        fix "use [::] or 0.0.0.0 for all addresses, or one of: ip address";
        see "bind(2), EADDRNOTAVAIL";
    LISTENER_FAILS: "listener-fails", Error;
        why "Where nothing can listen nothing can be served.";
        about "The address was opened and closed at once, and the system refused for another reason than those of the other \
            findings.";
        fix "give an address with a port, such as 127.0.0.1:8443 or [::]:8443";
        see "bind(2)";
    ONE_PORT_FOR_BOTH: "one-port-for-both", Error;
        why "HTTPS and plain HTTP cannot be told apart before the first byte; each listener needs a port of its own.";
        about "The addresses of HTTPS and of the redirect have the same port, and one of them takes in the other.";
        fix "https = \"[::]:443\"
http = \"[::]:80\"";
        see "RFC 9110 §4.2";
    CLOCK_IMPLAUSIBLE: "clock-implausible", Warning;
        why "Certificates are judged by the clock: a client with a wrong one refuses good ones, and takes those that are over.";
        about "This machine's clock stands before the day when this program was built, so it cannot be right. The server starts, \
            and neither it nor this check says whether certificates are valid now.";
        fix "timedatectl set-ntp true (or: date -s, hwclock --systohc)";
        see "RFC 5280 §4.1.2.5";
    LIMIT_OUT_OF_RANGE: "limit-out-of-range", Error;
        why "A server does not start with a limit that it could not keep.";
        about "Each limit has a least and a most, which the finding says.";
        fix "give a value within the range, or leave the limit out for its default";
        see "lockgate::Limits";
    CONNECTIONS_CUT_DOWN: "connections-cut-down", Warning;
        why "Fewer clients can be connected at a time than the setting says; the longest-idle ones make room earlier.";
        about "Each connection is an open file. The hard limit on open files (RLIMIT_NOFILE), of which a part is kept for the \
            redirect and for other files, leaves less than the limit connections. A service may have another limit than the \
            shell that the check runs in.";
        fix "systemd: LimitNOFILE=16384
or lower the limit: connections = N";
        see "getrlimit(2), RLIMIT_NOFILE";
    MEMORY_SHORT: "memory-short", Warning;
        why "With everything full the server would take more memory than the machine has, and the system would end it, or \
            something else.";
        about "The ceiling of lockgate's memory follows from its limits (SECURITY.md, Memory): 8 MiB, 176 KiB a worker, 31 KiB a \
            connection and 72 KiB more while it is busy, and body_memory_bytes. It is compared with this machine's memory, or \
            the part of it that this program may use (cgroup).";
        fix "connections = 500 (a ceiling of 108 MiB)";
        see "SECURITY.md, Memory";
    REDIRECT_OFF: "redirect-off", Note;
        why "Who types a name without https:// gets no answer.";
        about "Plain HTTP is answered nowhere. Nothing is sent in clear that way, and for programs with an https:// address \
            nothing is missing.";
        fix "http = \"[::]:80\"";
        see "RFC 9110 §4.2.2";
    REDIRECT_PORT: "redirect-port", Note;
        why "Who types a name without https:// comes to port 80, where no redirect is.";
        about "Redirects are answered on another port than 80. Where that port is forwarded from 80 all is well.";
        fix "http = \"[::]:80\"";
        see "RFC 9110 §4.2.1";
    ACME_TERMS: "acme-terms-not-accepted", Error;
        why "An authority gives no account, and so no certificate, to who has not agreed to its terms; the device identity is \
            served for ever.";
        about "Nothing says that the terms are accepted, and the state directory holds no account with this authority yet.";
        fix "accept-terms = true (once you have read them; lockgate cert obtain says where they are)";
        see "RFC 8555 §7.3.3";
    ACME_UNANSWERED: "acme-challenge-unanswered", Error;
        why "An authority asks for a proof that this server could not give; the server does not start.";
        about "http-01 is asked on the plain port, so the redirect has to be on; tls-alpn-01 on the HTTPS port, by a client \
            without a certificate.";
        fix "http = \"[::]:80\"
or, without plain HTTP: challenge = \"tls-alpn-01\"";
        see "RFC 8555 §8.3, RFC 8737 §3";
}
