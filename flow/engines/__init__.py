"""Programs that run in environments of their own, started as processes and never imported.

Each file needs only the packages of its environment (``<environment>.txt``) and talks through files
in its working folder. Their packages are under the GPL, LGPL or AGPL and pin each other, which is
why the rest of the flow neither imports nor installs them.
"""
