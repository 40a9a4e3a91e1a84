"""The Triton backend's objectives, one file each, named as in w2vfast.kernels.objectives.

weigh                   the pass that turns a tile's scores S into gradients G in place, notes what each column's
                        pairs weigh, and returns the loss: jit, a constant of the kernel (kernel.py)
constants(objective)    WEIGH and what else of the kernel's constants is the objective's: K, MASK
table(objective)        float32 [out_rows] or None: a value a column, `objective_ptr` in `weigh`
"""
