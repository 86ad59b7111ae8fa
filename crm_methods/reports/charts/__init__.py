"""Result → figure: a module per stage, on top of the house style and its few kinds of chart."""
