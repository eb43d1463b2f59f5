# Posthaste. Two commands matter: `make demo` shows it at work, `make test` proves it.

GO ?= go
export CGO_ENABLED ?= 0
RACE = CGO_ENABLED=1 $(GO) test -race
STATICCHECK = bin/staticcheck

.PHONY: demo build test torture bench peers lint check-go clean

demo: build
	@./posthaste demo $(DEMO)

build: check-go
	@echo "building (the first time downloads about 60 MB of modules and takes a minute or two) …"
	@$(GO) build -trimpath -o posthaste ./cmd/posthaste

# Everything that must hold before a commit lands: under ten minutes on two cores.
test: check-go peers lint
	$(GO) build ./...
	$(RACE) -timeout 20m ./...

# The long forms: hundreds of crashes, hours of virtual mail, minutes of fuzzing.
torture: check-go
	POSTHASTE_TORTURE=1 $(RACE) -timeout 3h -count=1 ./...
	sh scripts/fuzz.sh

# Measured beside Postfix and Dovecot in one run; see docs/performance.md.
bench: build
	bash bench/run.sh

# Programs of others that the tests talk to, from Debian's packages where there are any.
peers:
	@sh scripts/install-peers.sh

lint: $(STATICCHECK)
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(STATICCHECK) ./...

$(STATICCHECK): tools/go.mod
	cd tools && $(GO) build -o ../$(STATICCHECK) honnef.co/go/tools/cmd/staticcheck

check-go:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or newer from https://go.dev/dl/ and put it into PATH"; exit 1; }
	@$(GO) version | awk '{split(substr($$3,3),v,"."); if (v[1]<1 || v[1]==1 && v[2]<26) {print "Go 1.26 or newer is needed, this is " $$3 ": install it from https://go.dev/dl/"; exit 1}}'

clean:
	rm -rf posthaste bin
