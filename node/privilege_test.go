package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRootFollowsNoLinksOfTheUser plants what the user of a node could, in the hope that root hands it
// the file of somebody else at the next start.
func TestRootFollowsNoLinksOfTheUser(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(foreign, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	if err := os.Link(foreign, filepath.Join(data, "mine")); err != nil {
		t.Fatal(err)
	}
	if err := giveTree(data, os.Getuid()+1, os.Getgid()); err == nil || !strings.Contains(err.Error(), "second name") {
		t.Errorf("a file with a second name: %v", err)
	}
	data = t.TempDir()
	if err := os.Symlink(foreign, filepath.Join(data, lockName)); err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(data); err == nil || !strings.Contains(err.Error(), "is a link") {
		t.Errorf("a lock that is a link: %v", err)
	}
	if content, _ := os.ReadFile(foreign); string(content) != "secret" {
		t.Errorf("the file now holds %q", content)
	}
}
