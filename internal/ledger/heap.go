package ledger

// debtHeap is a heap.Interface. The debt that is due first has index 0. The heap holds the debts
// themselves and no pointers to them, because an outage may leave very many.
type debtHeap[L comparable] struct {
	all     []Debt[L]
	compare func(a, b L) int // orders locks
}

func (h *debtHeap[L]) Len() int      { return len(h.all) }
func (h *debtHeap[L]) Swap(i, j int) { h.all[i], h.all[j] = h.all[j], h.all[i] }

// Less orders debts by when they are due. Debts that are due at the same time are ordered by lock,
// so that simulations can be replayed.
func (h *debtHeap[L]) Less(i, j int) bool {
	a, b := &h.all[i], &h.all[j]
	return a.due < b.due || a.due == b.due && h.compare(a.Lock, b.Lock) < 0
}

func (h *debtHeap[L]) Push(d any) { h.all = append(h.all, *d.(*Debt[L])) }

func (h *debtHeap[L]) Pop() any {
	last := h.all[len(h.all)-1]
	h.all[len(h.all)-1] = Debt[L]{}
	h.all = h.all[:len(h.all)-1]
	return &last
}
