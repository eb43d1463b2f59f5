package kv

import "sync"

// Watchers are the functions that [Store.Watch] was given for one partition. The zero value has none;
// its methods may be called at the same time.
type Watchers struct {
	mu    sync.Mutex // guards funcs, and keeps what is told in the order of the calls of Tell
	funcs map[*func(Version)]bool
}

// Add has f called by Tell until cancel.
func (w *Watchers) Add(f func(Version)) (cancel func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.funcs == nil {
		w.funcs = make(map[*func(Version)]bool)
	}
	w.funcs[&f] = true
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.funcs, &f)
	}
}

// Tell calls every function with v.
func (w *Watchers) Tell(v Version) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.funcs {
		(*f)(v)
	}
}

// Any tells whether there is anybody to tell.
func (w *Watchers) Any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.funcs) > 0
}
