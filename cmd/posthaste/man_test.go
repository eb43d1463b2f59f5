package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"posthaste/config"
	"posthaste/manual"
)

var update = flag.Bool("update", false, "write docs/man afresh")

const manDir = "../../docs/man"

func TestManualIsThatOfTheSource(t *testing.T) {
	pages := manual.Pages(newParser(new(commands)).Model, config.Settings())
	if *update {
		if err := os.RemoveAll(manDir); err != nil {
			t.Fatal(err)
		}
		if err := writePages(manDir, pages); err != nil {
			t.Fatal(err)
		}
	}
	files, err := os.ReadDir(manDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(pages) {
		t.Errorf("docs/man has %d pages, the source makes %d: go test ./cmd/posthaste -update", len(files), len(pages))
	}
	for _, p := range pages {
		kept, err := os.ReadFile(filepath.Join(manDir, p.Name))
		if err != nil || !bytes.Equal(kept, p.Text) {
			t.Errorf("docs/man/%s is not what the source says (%v): go test ./cmd/posthaste -update", p.Name, err)
		}
	}
}

func TestManualIsSoundMdoc(t *testing.T) {
	mandoc, err := exec.LookPath("mandoc")
	if err != nil {
		if os.Getenv("POSTHASTE_REQUIRE_PEERS") == "1" {
			t.Fatal("mandoc is not installed")
		}
		t.Skip("SKIPPED PEER: mandoc is not installed")
	}
	files, err := filepath.Glob(filepath.Join(manDir, "*.[15]"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, "no pages")
	}
	for _, file := range files {
		if out, err := exec.Command(mandoc, "-T", "lint", "-W", "error", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
