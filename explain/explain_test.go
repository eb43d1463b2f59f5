package explain_test

import (
	"context"
	"testing"

	"posthaste/explain"
)

func TestNobodyListensByDefault(t *testing.T) {
	ctx := context.Background()
	explain.Note(ctx, "access", "seen by nobody")
	if explain.On(ctx) {
		t.Error("a plain context listens")
	}
}

func TestReasonsKeepTheirOrder(t *testing.T) {
	ctx, reasons := explain.With(t.Context())
	if !explain.On(ctx) {
		t.Fatal("nobody listens")
	}
	explain.Note(ctx, "alias", "%s is an alias", "root")
	explain.Note(ctx, "route", "local")
	got := reasons.List()
	want := []explain.Reason{{"alias", "root is an alias"}, {"route", "local"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	ctx, reasons := explain.With(t.Context())
	for i := range 5000 {
		explain.Note(ctx, "table", "key %d", i)
	}
	if n := len(reasons.List()); n != 1000 {
		t.Errorf("%d reasons were kept, want 1000", n)
	}
}

func TestAReasonIsToldOnce(t *testing.T) {
	ctx, reasons := explain.With(t.Context())
	for range 3 { // as the stages of a session ask for the same address
		explain.Note(ctx, "directory", "dan is nobody")
	}
	if got := reasons.List(); len(got) != 1 {
		t.Errorf("%d reasons, want 1: %v", len(got), got)
	}
}
