"""How far two ways of one sum may be apart, as a share of its size, by the numbers it is made of.

A sum in another order, or on another processor, is rounded elsewhere. No test asks for more.
"""

FLOAT32 = 1e-5  # 24 bits: some 1e-7 a product, and a hundred of them one after the other
DEEP32 = 1e-4  # float32 again, where the ways differ by more than the order
TRAINED32 = 1e-3  # float32 again, after steps of training that let a difference grow
BFLOAT16 = 3e-2  # 8 bits: 4e-3 a product
