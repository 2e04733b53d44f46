# Thin on purpose: what the targets do is in tests/bed/ and templates/, one commented script each.

# What to pass on: make test ARGS="--test it backup:: -- --nocapture"
ARGS ?=

# Where `install` puts things, below DESTDIR, and which program it and `deb` take.
PREFIX ?= /usr/local
BINARY ?=
# Where `deb` puts the package.
OUTPUT ?= target
# Static: runs on every Linux of this processor, whatever its C library.
static = $(shell uname -m)-unknown-linux-musl
# The C in it (ring, for TLS) needs no C library, so any compiler of this processor will do: most have none of musl.
static_cc = CC_$(subst -,_,$(static))=$(CC)

.PHONY: help setup build static install uninstall deb demo test bench lint clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the tests and the demo need (Debian, root)
	@tests/bed/setup.sh

build: ## Build the release binary, target/release/kopi-docka
	cargo build --release --locked

static: ## Build a static release binary, for Debian 11 and Alpine too
	@rustup target list --installed | grep -qx $(static) || rustup target add $(static)
	$(static_cc) cargo build --release --locked --target $(static)

install: ## Install below PREFIX: binary, manual pages, completions, units
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" templates/install.sh "$(or $(BINARY),target/release/kopi-docka)"

uninstall: ## Remove what `install` installed
	@DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" templates/install.sh --remove

deb: $(if $(BINARY),,static) ## Make a Debian package in OUTPUT of the static binary, or of BINARY
	@templates/deb/build.sh "$(or $(BINARY),target/$(static)/release/kopi-docka)" "$(OUTPUT)"

demo: ## See it work: back up, destroy and restore a small stack
	@tests/bed/demo.sh

test: ## Run all tests, with a real Docker engine and a real Kopia
	@tests/bed/test.sh $(ARGS)

bench: ## Run the benchmarks in the same test bed
	@tests/bed/run.sh --stock-kopia cargo bench --locked $(ARGS)

lint: ## Check the formatting, run clippy, and check the links of the documentation; warnings are errors
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked

clean: ## Remove what cargo built
	cargo clean
