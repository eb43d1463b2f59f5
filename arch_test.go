// Package posthaste_test holds the rules about the tree as a whole: which package may import which,
// and that each says what it owns.
package posthaste_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "posthaste/"

// layers is the tree from top to bottom. A package imports only packages of lower layers; drivers and
// parts of one idea stand in the layer of their parent and may import it. A change here is a design
// decision, argued in its commit.
var layers = []string{
	"cmd/posthaste",
	"manual demo",
	"node",
	"admin",
	"smtpd imapd popd httpd",
	"sendmail",
	"submit inbound drop",
	"quarantine",
	"queue",
	"deliver/remote deliver/pipe deliver/file",
	"deliver/local",
	"store",
	"auth",
	"route access rewrite",
	"directory",
	"filter",
	"table",
	"helper",
	"mailauth",
	"imap",
	"aliases",
	"message smtp pop3 mailfile srs reply",
	"wire",
	"dns",
	"cert",
	"trace",
	"kv blob",
	"config",
	"explain",
	"mail",
}

// beside lists what stands beside the tree: tests and measures, which may import anything and which
// nothing imports.
var beside = []string{"sim", "bench", "interop"}

type listed struct {
	ImportPath string
	Doc        string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath = strings.TrimPrefix(p.ImportPath, module); len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

// layerOf returns the layer of a package, and the entry that put it there.
func layerOf(path string) (layer int, entry string) {
	for i, names := range layers {
		for _, name := range strings.Fields(names) {
			if path == name || strings.HasPrefix(path, name+"/") {
				return i, name
			}
		}
	}
	return -1, ""
}

func standsBeside(path string) bool {
	return slices.ContainsFunc(beside, func(b string) bool { return path == b || strings.HasPrefix(path, b+"/") })
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		layer, entry := layerOf(p.ImportPath)
		if standsBeside(p.ImportPath) || strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		if layer < 0 {
			t.Errorf("%s stands in no layer: give it one, or find the package it belongs to", p.ImportPath)
			continue
		}
		for _, path := range p.Imports {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			below, other := layerOf(imported)
			if below > layer || other == entry {
				continue
			}
			t.Errorf("%s imports %s, which does not stand below it", p.ImportPath, imported)
		}
		if p.ImportPath == "mail" && slices.ContainsFunc(p.Imports, func(i string) bool { return strings.Contains(i, ".") }) {
			t.Errorf("mail imports more than the standard library: %v", p.Imports)
		}
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestArchitecturePageNamesThePackages holds section 2 of docs/architecture.md against the tree, both ways.
func TestArchitecturePageNamesThePackages(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{"tools": true} // a module of its own
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasPrefix(cells[1], " `") || strings.Contains(cells[1], " <") {
			continue
		}
		for _, name := range namesIn(cells[1]) {
			if named[name] {
				t.Errorf("docs/architecture.md names %s twice", name)
			}
			named[name] = true
			if info, err := os.Stat(name); err != nil || !info.IsDir() {
				t.Errorf("docs/architecture.md names %s, which does not exist", name)
			}
		}
		if strings.HasPrefix(line, "| `docs`") {
			break // the end of the table
		}
	}
	for _, p := range packages(t) {
		if !named[p.ImportPath] && !strings.HasSuffix(p.ImportPath, "test") && !strings.Contains(p.ImportPath, "internal") && !standsBeside(p.ImportPath) {
			t.Errorf("docs/architecture.md does not name %s", p.ImportPath)
		}
	}
}

// namesIn returns the packages of a cell: "`filter` (`spam` `virus/{clamd,icap}`); `davd` *(later)*". What is
// planned is left out.
func namesIn(cell string) (names []string) {
	for part := range strings.SplitSeq(cell, ";") {
		if strings.Contains(part, "(later)") {
			continue
		}
		parent := ""
		for i, field := range strings.Split(part, "`") {
			switch {
			case i%2 == 0 && strings.Contains(field, "("):
				parent = names[len(names)-1] + "/"
			case i%2 == 1:
				names = append(names, expand(parent+field)...)
			}
		}
	}
	return names
}

// expand returns the names that "kv/{pebblekv,pgkv}" stands for, the parent among them.
func expand(s string) []string {
	parent, children, braced := strings.Cut(strings.TrimSuffix(s, "}"), "/{")
	names := []string{parent}
	for child := range strings.SplitSeq(children, ",") {
		if braced {
			names = append(names, parent+"/"+child)
		}
	}
	return names
}
