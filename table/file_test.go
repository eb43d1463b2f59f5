package table

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// rewrite puts text into path as if that had happened ago.
func rewrite(t *testing.T, path, text string, ago time.Duration) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-ago)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

func TestFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map")
	rewrite(t, path, "a first\n", time.Hour)
	set, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := set.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	wants := func(claim, want string) {
		t.Helper()
		if got, _, err := m.Lookup(t.Context(), "A"); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", claim, got, err, want)
		}
	}
	wants("at first", "first")
	rewrite(t, path, "a second\n", time.Minute)
	wants("a changed file", "second")
	rewrite(t, path, "a half", 0)
	wants("a file that is being written", "second")
	rewrite(t, path, "broken\n", time.Minute)
	wants("a file with errors", "second")
	if err := set.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("Check of a file with errors: %v", err)
	}
	rewrite(t, path, "a third\n", 2*time.Minute)
	wants("a mended file", "third")
	if err := set.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if value, found, err := m.Lookup(t.Context(), "a"); err == nil {
		t.Errorf("a file that is gone answers %q, %v", value, found)
	}
	rewrite(t, path, "a fourth\n", time.Minute)
	wants("a file that is back", "fourth")
}
