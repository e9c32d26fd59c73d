"""Problems with references: generators, the split, solvers, graders and blind play.

For evaluation and training only: nothing that runs at test time imports this room.
"""
