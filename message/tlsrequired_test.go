package message

import "testing"

func TestTLSOptional(t *testing.T) {
	for header, want := range map[string]bool{
		"TLS-Required: No\r\n": true, "tls-required:\r\n no \r\n": true,
		"TLS-Required: yes\r\n": false, "TLS-Required: No\r\nTLS-Required: No\r\n": false, "Subject: TLS-Required: No\r\n": false, "": false,
	} {
		if got := TLSOptional(ParseHeader([]byte(header + "\r\n"))); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}
