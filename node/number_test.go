package node

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"posthaste/mail"
)

// A counter numbers nodes from where it stands.
type counter int

func (c *counter) NewNode(context.Context) (int, error) { *c++; return int(*c), nil }

func TestNodeKeepsItsNumber(t *testing.T) {
	numbers := counter(6)
	dir := t.TempDir()
	for _, row := range []struct {
		file string
		want uint16
	}{{"a", 7}, {"a", 7}, {"b", 8}, {"a", 7}} {
		got, err := keptNumber(t.Context(), filepath.Join(dir, row.file), &numbers)
		if err != nil || got != row.want {
			t.Errorf("%s: node %d, %v; want %d", row.file, got, err, row.want)
		}
	}
}

func TestNodeRefusesNumbersThatDoNotFit(t *testing.T) {
	for _, text := range []string{"", "0", "-1", "2048", "one", "1 2"} {
		path := filepath.Join(t.TempDir(), "node")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := keptNumber(t.Context(), path, new(counter)); err == nil {
			t.Errorf("%q: node %d", text, got)
		}
	}
	full := counter(mail.MaxNode)
	if got, err := keptNumber(t.Context(), filepath.Join(t.TempDir(), "node"), &full); err == nil {
		t.Errorf("after the last: node %d", got)
	}
}
