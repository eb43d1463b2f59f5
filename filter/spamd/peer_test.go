package spamd

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"posthaste/filter"
	"posthaste/filter/filtertest"
	"posthaste/mail"
)

func TestRealSpamd(t *testing.T) {
	program := filtertest.Peer(t, "spamd", "spamd")
	dir, port := filtertest.Dir(t), filtertest.FreePort(t)
	p := filtertest.Start(t, dir, port, program, "-L", "-l", "-x", "-i", "127.0.0.1", "-A", "127.0.0.1", "-p", fmt.Sprint(port),
		"-m", "4", "--min-children=2", "-s", "stderr", "-H", dir, "-r", filepath.Join(dir, "pid"), "--cf", "bayes_path "+filepath.Join(dir, "bayes"))
	c, err := New(Config{Address: fmt.Sprintf("inet:127.0.0.1:%d", port)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Scan(t.Context(), filtertest.Mail(t, filtertest.Message(filtertest.GTUBE)))
	i := slices.IndexFunc(r.Findings, func(f mail.Finding) bool { return f.Rule == "SA_GTUBE" })
	if err != nil || i < 0 || r.Findings[i].Weight != 1000 || r.Findings[i].Meaning == "" {
		t.Fatalf("GTUBE: got %+v, %v", r, err)
	}
	ham := filtertest.Mail(t, filtertest.Message("hello, this is about the meeting on Thursday"))
	if err := c.Learn(t.Context(), ham.Content, false); err != nil {
		t.Errorf("learn: %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "bayes_seen*")); len(files) == 0 {
		t.Error("nothing was learned")
	}
	harmless := func(r filter.Result) error {
		if len(r.Findings) < 2 || r.Findings[0].Rule != "SPAMD" {
			return errors.New("there is no rule")
		}
		sum := 0.0
		for _, f := range r.Findings {
			sum += f.Weight
		}
		if sum >= 100 { // a network for documentation has points of its own
			return errors.New("ham has the points of GTUBE")
		}
		return nil
	}
	filtertest.Storm{Engine: c, Process: p, Mail: ham, Good: harmless, Brief: true}.Run(t)
}
