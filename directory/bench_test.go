package directory

import (
	"testing"

	"posthaste/kv/memkv"
)

// BenchmarkResolveAccount asks for an account that is remembered, as RCPT and delivery do all day.
func BenchmarkResolveAccount(b *testing.B) {
	d := open(b, memkv.New())
	add(b, d, "bob@north.test")
	to := at("bob@north.test")
	for b.Loop() {
		if got, err := d.Resolve(b.Context(), to); err != nil || got.Kind != KindAccount {
			b.Fatal(got, err)
		}
	}
}
