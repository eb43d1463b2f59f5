package reports

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"posthaste/kv/memkv"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func names(t *testing.T, in *Inbox[string], since time.Time) string {
	t.Helper()
	var all []string
	err := in.List(t.Context(), since, func(k Kept[string]) error {
		all = append(all, k.Report[:min(len(k.Report), 5)])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestInbox(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	in := New[string](store, "x/in")
	for i := range 3 {
		for range 2 { // each comes twice
			got, err := in.Put(t.Context(), fmt.Sprint(i), fmt.Sprint(i), noon.Add(time.Duration(i)*time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			back, err := in.Show(t.Context(), got.Name)
			if err != nil || back.Report != fmt.Sprint(i) {
				t.Errorf("Show: %+v, %v", back, err)
			}
		}
	}
	if got := names(t, in, time.Time{}); got != "2 1 0" {
		t.Errorf("listed %q, want the newest first", got)
	}
	if got := names(t, in, noon.Add(time.Hour)); got != "2 1" {
		t.Errorf("since: %q", got)
	}
	stop := errors.New("stop")
	if err := in.List(t.Context(), time.Time{}, func(Kept[string]) error { return stop }); err != stop {
		t.Errorf("List: %v", err)
	}
	for _, name := range []string{"nothing", "", strings.Repeat("x", 5000)} {
		if _, err := in.Show(t.Context(), name); err != ErrNone {
			t.Errorf("Show(%.10q): %v", name, err)
		}
	}
}

func TestOldReportsMakeRoom(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	in := New[string](store, "x/in")
	in.Put(t.Context(), "a", "a", noon)
	in.Put(t.Context(), "b", "b", noon.Add(time.Hour))
	in.Put(t.Context(), "c", "c", noon.Add(KeepFor+time.Minute))
	if got := names(t, in, time.Time{}); got != "c b" {
		t.Errorf("%q are left, want the one too old gone", got)
	}
	if _, err := in.Put(t.Context(), "d", strings.Repeat("d", MaxReport), noon); err != ErrTooLarge {
		t.Errorf("a huge report: %v", err)
	}
}

func TestManyAndLargeReportsMakeRoom(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	in := New[string](store, "x/in")
	in.most = 5
	put := func(from, to, size int) {
		for i := from; i < to; i++ {
			if _, err := in.Put(t.Context(), fmt.Sprint(i), fmt.Sprintf("%03d%*s", i, size, ""), noon.Add(time.Duration(i)*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(0, 8, 2)
	if got := names(t, in, time.Time{}); got != "007   006   005   004   003  " {
		t.Errorf("%q are left, want 5", got)
	}
	in.mostBytes = 2500
	put(8, 11, 1000)
	if got := names(t, in, time.Time{}); got != "010   009  " {
		t.Errorf("%q are left, want what 2500 bytes hold", got)
	}
}

func TestReportsAreCounted(t *testing.T) {
	store := memkv.New()
	defer store.Close()
	in := New[int](store, "x/in")
	for i := range 3 * page {
		in.Put(t.Context(), fmt.Sprint(i), i, noon.Add(time.Duration(i)*time.Second))
	}
	want := 3*page - 1
	in.List(t.Context(), time.Time{}, func(k Kept[int]) error {
		if k.Report != want {
			t.Fatalf("got %d, want %d", k.Report, want)
		}
		want--
		return nil
	})
	if want != -1 {
		t.Errorf("the list ends after %d", want)
	}
}
