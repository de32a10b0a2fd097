# The ports of the demo. Others can be given: make run-demo HTTPS_PORT=9443 HTTP_PORT=9080
# (HTTP_PORT=off answers no plain HTTP.)
HTTPS_PORT ?= 8443
HTTP_PORT ?= 80

.PHONY: run-demo

# The last line is run by make itself, without a shell between, so that Ctrl-C stops the server cleanly.
run-demo:
	cargo build --release
	./target/release/lockgate demo --dir certs --https $(HTTPS_PORT) --http $(HTTP_PORT)
