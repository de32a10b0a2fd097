# The ports of the demo. Others can be given: make run-demo HTTPS_PORT=9443 HTTP_PORT=9080
# (HTTP_PORT=off answers no plain HTTP.)
HTTPS_PORT ?= 8443
HTTP_PORT ?= 80

# How long `make fuzz` spends on each target, in seconds.
FUZZ_SECONDS ?= 300

# cargo's target folder.
TARGET := $(or $(CARGO_TARGET_DIR),target)

# The folder in which `make run-device` keeps its authority and certificate.
STATE ?= $(TARGET)/device

# Arguments for the benchmark: make bench BENCH="--rounds 5 --update-readme"
BENCH ?=

.PHONY: help run-demo run-device test test-slow test-all bench bench-quick bench-programs instructions sizes msrv cross packaging operations manual deb deb-test static container sbom release-checks tls-quality drill fleet soak board fuzz fuzz-programs coverage clean

help:
	@echo 'make run-demo   builds lockgate and serves https://localhost:8443, with a certificate made for it;'
	@echo '                other ports: make run-demo HTTPS_PORT=9443 HTTP_PORT=9080'
	@echo 'make run-device first boot of a device: it makes its own authority and a certificate for its names and addresses, and'
	@echo '                curl verifies a request with it; then it serves until Ctrl-C. State in target/device, or STATE=DIR'
	@echo 'make test       formatting, lints, docs and all quick tests; the summary says what passed, how long each group took,'
	@echo '                and what was left out'
	@echo 'make test-slow  tests that need release builds and minutes: tls-quality, a short drill, msrv, instructions, sizes, the'
	@echo '                tests of the benchmark, and fuzz for 15 s a target'
	@echo 'make test-all   both, as CI runs them'
	@echo 'make bench      compares lockgate with ten other servers: CPU per operation, latency, memory;'
	@echo '                tables, JSON and charts go to target/bench; forty minutes'
	@echo 'make bench-quick   lockgate, nginx, hyper and the floor only: five minutes once it is built;'
	@echo '                BENCH="--servers lockgate,hyper --only keep_alive_64" for less'
	@echo 'make instructions  instructions a request under callgrind, against the budget in tests/instructions.txt'
	@echo 'make sizes      sizes of the command, the command with serve alone and the smallest embedding example, with their limits'
	@echo 'make packaging  checks the recipes for Yocto, Buildroot and OpenWrt in examples/packaging: some seconds'
	@echo 'make operations checks the files for HAProxy and Kubernetes in examples/operations: some seconds'
	@echo 'make manual     manual pages, and completions for bash, zsh and fish, in target/manual; each is read by its own readers'
	@echo 'make deb        the Debian package, in target/debian; by cargo-deb, which is installed if it is missing'
	@echo 'make deb-test   builds it, and installs, upgrades, removes and purges it in a clean Debian 12; needs root'
	@echo 'make static     the command as a static program (musl);   make container   an image with it alone, by buildah'
	@echo 'make sbom       CycloneDX of the released command, in target/lockgate.cdx.json'
	@echo 'make release-checks   licences, bans and sources of all crates (deny.toml), the SBOM, the static program in an empty'
	@echo '                folder and in its container; ADVISORY_DB=FOLDER with a copy of the advisory database for that too'
	@echo 'make msrv       builds and tests with Rust 1.78 and 1.85, and offline from vendored sources'
	@echo 'make cross      builds for armv7, aarch64, i686 and s390x, and tests there, under qemu where this processor cannot;'
	@echo '                an hour; NAMES="armv7" for less, or musl; sizes and memory of the command for each; PART=sizes'
	@echo 'make tls-quality   testssl.sh and sslyze against the built server, compared with lockgate check: some minutes'
	@echo 'make drill      the built server under attack, load and loss: a line each, with figures; some minutes'
	@echo 'make fleet      HAProxy in front of three of it: restarts, kill -9, a frozen node, certificates, ticket keys and a client CA'
	@echo '                exchanged under load, clocks that differ; a line each, with figures; some minutes'
	@echo 'make board      a virtual board with a 32-bit ARM processor and 64 MiB of memory (qemu, a kernel of Debian): lockgate as'
	@echo '                its device, from the first boot over resets to 2040; figures of memory; minutes, most of them the build'
	@echo 'make soak       ten minutes of mixed traffic, and whether memory, threads and descriptors stay flat'
	@echo 'make fuzz       random input to every parser and to the whole server, FUZZ_SECONDS=300 for each target;'
	@echo '                names the file of an input that breaks something, and how to try it again'
	@echo 'make coverage   which lines of src/server the unit tests alone run; OF=src/http for another folder, OF=src/url.rs for a file'
	@echo 'make clean      removes all builds, and the state of run-device; the certificates of the demo stay'

# make runs the last line itself, without a shell, so that Ctrl-C stops the server cleanly.
run-demo:
	cargo build --profile demo --features check,demo-page
	'$(TARGET)/demo/lockgate' demo --dir certs --https $(HTTPS_PORT) --http $(HTTP_PORT)

# The loop sends requests until the server answers or has ended. The shell becomes the server, so make waits for the server
# itself.
run-device:
	cargo build --release --features cli
	@(while kill -0 $$$$ 2>/dev/null; do \
	    answer=$$(curl --silent --fail --noproxy '*' --cacert '$(STATE)/ca.pem' https://localhost:$(HTTPS_PORT)/api/data) \
	        && echo "Verified with the device's own authority: $$answer" && break; \
	    sleep 0.1; \
	done) & \
	exec '$(TARGET)/release/lockgate' serve --device --state '$(STATE)' --https $(HTTPS_PORT) --http off

test:
	@tests/all.sh quick

test-slow:
	@tests/all.sh slow

# In this order, also with -j.
test-all: test
	@tests/all.sh slow

bench: bench-programs
	@tests/install.sh nginx=nginx-light haproxy=haproxy caddy=caddy lighttpd=lighttpd-mod-openssl node=nodejs npm=npm
	@test -e /usr/lib/nginx/modules/ngx_nchan_module.so || tests/install.sh nchan=libnginx-mod-nchan
	-npm install --silent --no-audit --no-fund --prefix '$(TARGET)/bench/express' express@5
	'$(TARGET)/bench/build/release/driver' $(BENCH)

bench-quick: bench-programs
	@tests/install.sh nginx=nginx-light
	'$(TARGET)/bench/build/release/driver' --quick $(BENCH)

# The peers are a workspace of their own, so their dependencies are not lockgate's.
bench-programs:
	cargo build --release --features cli
	cargo build --release --features post-quantum,compression,proxy --example bench_server
	cargo build --profile small --example smallest
	cargo build --release --manifest-path benches/Cargo.toml --target-dir '$(TARGET)/bench/build'

instructions:
	@tests/install.sh valgrind=valgrind
	cargo build --release --features cli
	cargo build --release --features cli,post-quantum --example bench_server --example instructions
	'$(TARGET)/release/examples/instructions'

# The command with `serve` alone is built first and copied, because both builds have the same name.
sizes:
	cargo build --release --features serve
	cp '$(TARGET)/release/lockgate' '$(TARGET)/release/lockgate-serve'
	cargo build --release --features cli
	cargo build --profile small --example smallest
	@tests/sizes.sh

packaging:
	@tests/packaging.sh

operations:
	@tests/operations.sh

manual:
	@tests/manual.sh

deb:
	@examples/packaging/debian/build.sh

deb-test:
	@tests/deb.sh

static:
	@examples/packaging/static.sh

container:
	@examples/packaging/container/build.sh

sbom:
	@cargo cyclonedx --version >/dev/null 2>&1 || cargo install --locked --debug cargo-cyclonedx
	@python3 examples/packaging/sbom.py '$(TARGET)/lockgate.cdx.json'

release-checks:
	@tests/release.sh

msrv:
	@tests/msrv.sh

# Which processors, for `make cross`: armv7 aarch64 i686 s390x musl, or all but musl.
NAMES ?=
# `sizes` alone, or `short` as CI runs it. CROSS_RUST is the version of Rust: 1.85, for `sizes` and musl the installed one.
PART ?= full

cross:
	@tests/cross.sh $(PART) $(NAMES)

# The release build is what is looked at; what looks shares the build of `make test`.
tls-quality:
	@tests/install.sh testssl=testssl.sh python3=python3 nginx=nginx-light
	@tests/install_sslyze.sh
	cargo build --release --features cli
	LOCKGATE_BUILT='$(TARGET)/release' cargo test --features cli,compression --test tls_quality --test check_agreement

drill:
	cargo build --release --features cli --example drill_server
	cargo test --release --features cli --test drill -- --full

# The release build is what is looked at; what looks shares the build of `make test`.
fleet:
	@tests/install.sh haproxy=haproxy faketime=faketime
	cargo build --release --features cli
	LOCKGATE_BUILT='$(TARGET)/release' cargo test --features cli,compression --test drill -- --full fleet

soak:
	cargo build --release --features cli --example drill_server
	cargo test --release --features cli --test drill -- --full soak

# lockgate for the board is the release build of `make cross`. Times are those of an emulated processor. BOARD_PROFILE=demo
# BOARD_FEATURES=serve builds it sooner, for the same behaviour with other figures. BOARD_STEPS=short is one boot alone.
BOARD_TARGET := armv7-unknown-linux-gnueabihf
BOARD_PROFILE ?= release
BOARD_FEATURES ?= cli
BOARD_STEPS ?= all

board:
	rustc=$$(tests/toolchain.sh 1.85 $(BOARD_TARGET)) && \
	    RUSTC=$$rustc cargo build --profile $(BOARD_PROFILE) --features $(BOARD_FEATURES) --bin lockgate \
	    --target $(BOARD_TARGET) --target-dir '$(TARGET)/cross'
	board=$$(tests/board/make.sh '$(TARGET)/cross/$(BOARD_TARGET)/$(BOARD_PROFILE)/lockgate') && \
	    BOARD=$$board cargo test --features cli --test board -- $(BOARD_STEPS)

# cargo-fuzz only starts other programs, so it is built quickly in place of well.
fuzz-programs:
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked --debug cargo-fuzz
	@tests/install.sh c++=g++
	@tests/fuzz/run.sh --build

fuzz: fuzz-programs
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh

# The folder or file for `make coverage`.
OF ?= src/server

coverage:
	@tests/coverage.sh '$(OF)'

clean:
	cargo clean
