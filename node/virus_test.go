package node

import (
	"testing"

	"posthaste/config"
)

func TestVirusEngines(t *testing.T) {
	c := config.Default()
	if e, err := virusEngines(c, nil); err != nil || len(e) != 0 {
		t.Errorf("without settings: %v, %v", e, err)
	}
	c.Clamd.Address, c.ICAP.URL = "/run/clamav/clamd.ctl", "icap://127.0.0.1/avscan"
	if e, err := virusEngines(c, nil); err != nil || len(e) != 2 || e[0].Name() != "clamd" || e[1].Name() != "icap" {
		t.Errorf("with both: %v, %v", e, err)
	}
	c.Clamd.Address, c.ICAP.URL = "clamd", "http://127.0.0.1/"
	if e, err := virusEngines(c, nil); err == nil {
		t.Errorf("with wrong ones: %v", e)
	}
	if attachmentPolicy(c, nil) == nil {
		t.Error("the policy about attachments is off without settings")
	}
	c.Attachments.Enabled = false
	if attachmentPolicy(c, nil) != nil {
		t.Error("the policy about attachments cannot be turned off")
	}
}
