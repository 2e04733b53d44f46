# Thin on purpose: what the targets do is in tests/bed/, one commented script each.

# What to pass on: make test ARGS="--test backup -- --nocapture"
ARGS ?=

.PHONY: help setup build demo test bench lint clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what the tests and the demo need (Debian, root)
	@tests/bed/setup.sh

build: ## Build the release binary, target/release/kopi-docka
	cargo build --release --locked

demo: ## See it work: back up, destroy and restore a small stack
	@tests/bed/demo.sh

test: ## Run all tests, with a real Docker engine and a real Kopia
	@tests/bed/test.sh $(ARGS)

bench: ## Run the benchmarks in the same test bed
	@tests/bed/run.sh cargo bench --locked $(ARGS)

lint: ## Check the formatting and run clippy; warnings are errors
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings

clean: ## Remove what cargo built
	cargo clean
