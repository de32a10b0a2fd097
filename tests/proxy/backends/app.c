// The server that a device has had for years: one connection at a time, HTTP/1.0, one answer.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int server = socket(AF_INET, SOCK_STREAM, 0), length, client;
    if (bind(server, (void *)&at, size) || listen(server, 64) || getsockname(server, (void *)&at, &size)) return 1;
    printf("%d\n", ntohs(at.sin_port)), fflush(stdout);
    while ((client = accept(server, 0, 0)) >= 0) {
        static char in[1 << 21], method[16], path[4096];
        char *end = 0, *field;
        long have = 0, body = 0, got;
        while (have < (long)sizeof in - 1 && (!end || have < end + 4 - in + body) && (got = read(client, in + have, sizeof in - 1 - have)) > 0) {
            in[have += got] = 0;
            if (!end && (end = strstr(in, "\r\n\r\n")) && (field = strcasestr(in, "\r\ncontent-length:")) && field < end) body = atol(field + 17);
        }
        if (end && sscanf(in, "%15s %4095s", method, path) == 2) {
            int found = !strcmp(path, "/api/data"), head = !strcmp(method, "HEAD");
            length = snprintf(in, sizeof in, "%s %s %ld", method, path, body);
            dprintf(client, "HTTP/1.0 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", found ? "200 OK" : "404 Not Found", length, head ? "" : in);
        }
        close(client);
    }
}
