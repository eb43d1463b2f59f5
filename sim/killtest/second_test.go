package killtest

import (
	"fmt"
	"strings"
	"testing"
)

// A second process on a data directory is refused, told who has it, and does no harm; after kill -9
// the directory is free at once.
func TestASecondProcessIsRefused(t *testing.T) {
	s := newServer(t, "")
	s.start()
	out, err := s.command("serve").CombinedOutput()
	if holder := fmt.Sprintf("in use by process %d (posthaste)", s.process.Process.Pid); err == nil || !strings.Contains(string(out), holder) {
		t.Errorf("a second serve: %v, %q; want it refused with %q", err, out, holder)
	}
	s.populate("ann")
	s.kill()
	s.start()
	if got := listed[struct{ Address string }](s, "account", "list"); len(got) != 1 {
		t.Errorf("accounts after kill and start: %v", got)
	}
}
