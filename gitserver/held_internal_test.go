package gitserver

import "testing"

// Clients that are slow to take long answers hold only so much memory; one
// answer counts once, however many get it.
func TestListsAreBounded(t *testing.T) {
	var h holding
	one, two := &listText{bytes: make([]byte, heldLists/2+1)}, &listText{bytes: make([]byte, heldLists/2)}
	small := &listText{bytes: make([]byte, 100)}
	for range 100 {
		if !h.take(one) {
			t.Fatal("an answer that is being sent cannot be sent to others")
		}
	}
	if h.take(two) {
		t.Error("two answers are held that are too large together")
	}
	if !h.take(small) {
		t.Error("a small answer finds no room")
	}
	h.give(small)
	for range 100 {
		h.give(one)
	}
	if huge := (&listText{bytes: make([]byte, heldLists+1)}); h.sum != 0 || !h.take(huge) || h.take(small) {
		t.Errorf("with nothing held (%d bytes) the largest answer must be sent, and alone", h.sum)
	}
}
